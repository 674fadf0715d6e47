"""What a protocol could be compared with is said where it was not run, and what it could not be, is not."""

from benchmark.catalog.references import Source
from benchmark.verdicts.not_run import planned, verdicts
from benchmark.verdicts.verdict import Verdict


def _plan(invent_run):
    return lambda network: None if network == "unfit" else planned(network, invent_run().conditions, (360, 480))


def test_what_was_not_run(invent_run, invent_reference):
    references = [
        invent_reference(name="a", ours="net"),
        invent_reference(name="b", ours="net", split="val"),
        invent_reference(name="c", ours=None),
        invent_reference(name="d", ours="unfit"),
        invent_reference(name="e", ours="net", metric="macc"),
    ]
    (found,) = verdicts(references, [], _plan(invent_run), "miou")
    assert (found.reference, found.architecture, found.protocol) == ("a", "net", "camvid_360x480")
    assert (found.outcome, found.measured, found.further_seeds) == ("not run", None, None)
    assert found.reason == "`segbench run net -p camvid_360x480 --seeds 0,1,2` would decide"


def test_what_was_run_is_not_told(invent_run, invent_reference):
    reference = invent_reference(name="a", architecture="mmseg:net", ours="net")
    held = [Verdict.of(reference, 60.0, "inconclusive", "", architecture="net")]
    assert verdicts([reference], held, _plan(invent_run), "miou") == []
    elsewhere = [Verdict.of(reference, 60.0, "inconclusive", "")]  # of the zoo's network itself
    assert len(verdicts([reference], elsewhere, _plan(invent_run), "miou")) == 1


def test_where_the_figure_comes_from_is_said(invent_run, invent_reference):
    source = Source("A paper", "restated", None, "Table 5", "https://example.org", ("a README", "a survey"))
    (found,) = verdicts([invent_reference(ours="net", source=source)], [], _plan(invent_run), "miou")
    assert found.reason.endswith("; the paper's figure as a README and a survey restate it, the paper itself not seen")
