from rich.console import Console

from nas.report.zoo import zoo_report
from search_spaces.zoo import NOT_REPRODUCED, ZOO


def shown(family=None):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(zoo_report(family))
    return captured.get()


def test_every_network_stands_with_the_published_rows_that_it_reproduces():
    text = shown()
    for name, published in ZOO.items():
        assert f" {name} " in text
        for row in published.rows:
            assert f"= {row} " in text


def test_rows_that_are_not_reproduced_stand_with_the_reason():
    text = shown()
    for row, reason in NOT_REPRODUCED.items():
        assert f" {row} " in text
        assert reason[:40] in text


def test_a_family_is_shown_alone():
    text = shown("squeezenet")
    assert " squeezenet_1.1 " in text
    assert "mobilenet" not in text
