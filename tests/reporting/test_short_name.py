from benchmark.catalog import catalog
from benchmark.reporting.short_name import LENGTH, short_names


def test_names_of_the_zoo_lose_its_prefix_and_their_middle():
    name = "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512"
    assert short_names([name, "enet"]) == {name: "segformer_mit-b0…20k-512x512", "enet": "enet"}
    assert short_names(["mmseg:bisenetv1"]) == {"mmseg:bisenetv1": "bisenetv1"}


def test_names_that_differ_anywhere_have_labels_that_differ():
    tail = "_8xb2-160k_ade20k-512x512"
    names = [
        *("mmseg:unet", "unet"),
        *(f"network_with_a_long_name_{middle}_of_thirty_and_more_characters" for middle in ("one", "two")),
        *("n" * 119, "n" * 120),
        *(f"mmseg:segformer_mit-b{size}{tail}" for size in range(6)),
        *(f"mmseg:segformer_mit-b0_8xb2-{steps}k_ade20k-512x512" for steps in (40, 80)),
        f"mmseg:segformer_mit-b0_4xb2-160k{tail}",
    ]
    found = short_names(names)
    assert list(found) == names
    assert len(set(found.values())) == len(names)


def test_no_two_labels_of_the_whole_zoo_are_alike():
    names = [*catalog.architectures(), *catalog.zoo()]
    found = short_names(names)
    assert len(set(found.values())) == len(names)
    assert all(len(each) >= LENGTH or "…" not in each for each in found.values())
