"use strict";
// Makes the pictures answer: hover, click, arrow keys, another axis, sorting. Without it all of them can be read.
const $ = (selector, root = document) => [...root.querySelectorAll(selector)];

// what a reader has chosen of a page, for the next one
const kept = () => ({
  axis: $("#axes input").find((one) => one.checked)?.parentElement.textContent,
  trial: document.getElementById("detail")?.dataset.trial,
  sorted: $("#candidates thead th").map((head) => head.getAttribute("aria-sort")),
});

const report = (before = {}) => {
  const tip = document.getElementById("tip");
  const detail = document.getElementById("detail");
  const table = document.getElementById("candidates");
  const { blocks, networks } = JSON.parse(document.getElementById("blocks").textContent);
  const heads = $("thead th", table).map((head) => head.textContent);
  document.documentElement.classList.add("alive");

  const make = (name, text, ...children) => {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    made.append(...children);
    return made;
  };

  // what is known of a network stands in its row of the list
  const facts = (trial) => {
    const row = document.getElementById(`trial-${trial}`);
    return row ? [...row.cells].map((cell, index) => [heads[index], cell.textContent]) : [];
  };

  const filled = (share, kind) => {
    const space = "http://www.w3.org/2000/svg";
    const drawn = document.createElementNS(space, "svg");
    for (const [of, width] of [["whole", 100], [kind, 100 * share]]) {
      const bar = document.createElementNS(space, "rect");
      for (const [name, value] of Object.entries({ class: of, width, height: 6 })) bar.setAttribute(name, value);
      drawn.append(bar);
    }
    for (const [name, value] of Object.entries({ viewBox: "0 0 100 6", preserveAspectRatio: "none", class: "fill",
      "aria-hidden": "true" })) drawn.setAttribute(name, value);
    return drawn;
  };

  const choose = (trial) => {
    const known = facts(trial);
    if (!known.length) return;
    for (const mark of $(".chosen")) mark.classList.remove("chosen");
    for (const mark of $(`[data-trial="${trial}"]`)) mark.classList.add("chosen");
    document.getElementById(`trial-${trial}`).classList.add("chosen");
    const list = make("dl", null, ...known.slice(1, -1).filter(([, text]) => text && text !== "–")
      .flatMap(([name, text]) => [make("dt", name), make("dd", text)]));
    const own = networks[trial].map((index) => blocks[index]);
    const total = own.reduce((sum, block) => sum + block[2], 0) || 1;
    const drawn = make("ol", null, ...own.map(([words, shape, macs]) => make("li", `${words} → ${shape}, `
      + `${Math.round(100 * macs / total)} % of multiply-adds`, filled(macs / total, "macs"))));
    drawn.start = 0;
    detail.replaceChildren(make("h3", `Trial ${trial}`), list, drawn, make("code", known[known.length - 1][1]));
    detail.scrollTop = 0;
    detail.dataset.trial = trial;
  };

  const show = (mark, x, y) => {
    const known = facts(mark.dataset.trial);
    tip.replaceChildren(make("div", mark.getAttribute("aria-label")),
      make("div", known.length ? known[known.length - 1][1] : ""));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 14) : y + 18}px`;
  };
  const hide = () => { tip.hidden = true; };
  hide();
  const middle = (mark) => {
    const box = (mark.querySelector("use:last-of-type, .dot:last-of-type") || mark).getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };

  for (const picture of $("svg[data-marks]")) {
    const marks = () => $("a.mark", picture).filter((mark) => mark.getAttribute("display") !== "none")
      .map((mark) => [mark, middle(mark)]).sort((one, other) => one[1][0] - other[1][0] || other[1][1] - one[1][1]);
    const reach = (mark) => {  // one mark of a picture is in the order of the tab key, arrow keys lead to the others
      for (const other of $("a.mark", picture)) other.setAttribute("tabindex", other === mark ? "0" : "-1");
    };
    reach($("a.mark.winner", picture)[0] || $("a.mark", picture)[0]);
    picture.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
      const mark = event.target.closest("a.mark");
      if (!mark || !(event.key in steps)) return;
      const all = marks().map(([one]) => one);
      const to = all.indexOf(mark) + steps[event.key];
      const next = all[Math.max(0, Math.min(all.length - 1, to))];
      event.preventDefault();
      reach(next);
      next.focus();
    });
    const around = picture.parentElement;  // a drawing that listens for the focus would be a stop of the tab key
    around.addEventListener("focusin", (event) => {
      const mark = event.target.closest("a.mark");
      if (mark && mark.matches(":focus-visible")) show(mark, ...middle(mark));
    });
    around.addEventListener("focusout", hide);
    picture.addEventListener("pointermove", (event) => {
      const mark = event.target.closest("a.mark");
      if (mark) show(mark, event.clientX, event.clientY); else hide();
    });
    picture.addEventListener("pointerleave", hide);
    picture.addEventListener("click", (event) => {
      let mark = event.target.closest("a.mark");
      if (!mark && picture.id === "front") {  // a finger is broader than a mark
        const near = ([, [x, y]]) => Math.hypot(x - event.clientX, y - event.clientY);
        const nearest = marks().sort((one, other) => near(one) - near(other))[0];
        if (nearest && near(nearest) < 24) mark = nearest[0];
      }
      if (!mark) return;
      event.preventDefault();
      reach(mark);
      choose(mark.dataset.trial);
      const box = detail.getBoundingClientRect();
      if (box.top > innerHeight || box.bottom < 0) detail.scrollIntoView({ block: "nearest" });
    });
  }

  const against = (axis) => {
    for (const part of $("#front [data-axis]")) {
      if (part.dataset.axis === axis) part.removeAttribute("display"); else part.setAttribute("display", "none");
    }
    for (const mark of $("#front a.mark")) {
      const x = mark.dataset.x.split(" ")[axis];
      const y = mark.getAttribute("transform").match(/ ([-\d.]+)\)/)[1];
      if (x === "-") mark.setAttribute("display", "none");
      else { mark.removeAttribute("display"); mark.setAttribute("transform", `translate(${x} ${y})`); }
    }
  };
  document.getElementById("axes")?.addEventListener("change", (event) => against(event.target.value));
  const axis = $("#axes input").find((one) => one.parentElement.textContent === before.axis);
  if (axis && !axis.checked) { axis.checked = true; against(axis.value); }

  // sorting by a column: numbers before texts, what is not known last
  const sort = (column, up) => {
    for (const other of $("thead th", table)) other.removeAttribute("aria-sort");
    $("thead th", table)[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
    const order = ([one], [other]) => {
      if (one === "–" || other === "–") return (one === "–") - (other === "–");
      const numbers = one !== "" && other !== "" && !isNaN(one) && !isNaN(other);
      return (up ? 1 : -1) * (numbers ? one - other : one.localeCompare(other));
    };
    table.tBodies[0].append(...rows.sort(order).map(([, row]) => row));
  };
  $("thead th", table).forEach((head, column) => head.firstElementChild.addEventListener("click", () =>
    sort(column, head.getAttribute("aria-sort") !== "ascending")));
  const sorted = (before.sorted ?? []).findIndex((order) => order);
  if (sorted >= 0) sort(sorted, before.sorted[sorted] === "ascending");

  const linked = location.hash.match(/^#trial-(\d+)$/);
  const first = before.trial ?? (linked ? linked[1] : $("#front a.mark.winner")[0]?.dataset.trial);
  if (first && detail) choose(first);
};

addEventListener("keydown", (event) => { if (event.key === "Escape") document.getElementById("tip").hidden = true; });
addEventListener("beforeprint", () => { for (const part of $("details")) part.open = true; });
report();
