import html5lib

from nas.report.html.reliability import reliability_section


def test_accuracies_of_finals_say_of_which_files_they_are(found):
    read = html5lib.parse(f"<body>{reliability_section(found)}", namespaceHTMLElements=False)
    rows = ["|".join("".join(cell.itertext()) for cell in row) for row in read.iter("tr")]
    assert [row.split("|")[-4:] for row in rows if row.count("|") == 6] == [
        ["in finals (%)", "log loss", "as", "epochs there"], ["92.50", "0.250", "int8", "20"],
        ["85.00", "–", "float32", "5"]]
