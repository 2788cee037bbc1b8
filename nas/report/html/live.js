"use strict";
// Follows a search: asks now and then whether there is more to tell, and puts it in the place of what is here.
(() => {
  const WAIT_MS = 2000;
  const status = document.getElementById("following");
  const root = document.documentElement;

  // where an element is, in words that hold for the next page too
  const place = (one) => {
    if (one.matches?.("a.mark")) return `#${one.closest("svg").id} a.mark[data-trial="${one.dataset.trial}"]`;
    if (one.id) return `#${CSS.escape(one.id)}`;
    if (!one.parentElement) return one.tagName;
    return `${place(one.parentElement)} > :nth-child(${[...one.parentElement.children].indexOf(one) + 1})`;
  };

  const anchor = () => [...document.querySelectorAll("h2[id]")].filter((one) => one.getBoundingClientRect().top < 100)
    .pop();

  const replace = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const state = kept();
    const scrolled = [...document.querySelectorAll(".scroll, #detail")].map((one) => [place(one), one.scrollLeft,
      one.scrollTop]);
    const opened = [...document.querySelectorAll("details[open]")].map(place);
    const focused = document.activeElement === document.body ? null : place(document.activeElement);
    const section = anchor();
    const above = section?.getBoundingClientRect().top;
    for (const part of ["header", "nav", "main", "#blocks"]) {
      document.querySelector(part).replaceWith(fresh.querySelector(part));
    }
    root.dataset.version = fresh.documentElement.dataset.version;
    document.title = fresh.title;
    report(state);
    for (const one of opened) document.querySelector(one)?.setAttribute("open", "");
    for (const [one, left, top] of scrolled) document.querySelector(one)?.scrollTo(left, top);
    if (focused) document.querySelector(focused)?.focus({ preventScroll: true });
    if (section) {
      scrollBy({ top: document.getElementById(section.id).getBoundingClientRect().top - above, behavior: "instant" });
    }
  };

  const say = (words) => { if (status.textContent !== words) status.textContent = words; };

  const follow = async () => {
    if (!document.hidden && getSelection().isCollapsed) {  // what is being marked or copied stays
      try {
        const answer = await fetch(location.pathname, { headers: { "If-None-Match": root.dataset.version } });
        if (answer.status === 200) replace(await answer.text());
        say(answer.status === 200 || answer.status === 304 ? status.dataset.following : await answer.text());
      } catch {
        say(status.dataset.ended);
      }
    }
    setTimeout(follow, WAIT_MS);
  };
  setTimeout(follow, WAIT_MS);
})();
