"""Results from before a field was there are read as ever."""

from benchmark.results.record import Training


def test_a_training_from_before_there_were_stages(make_record):
    plain = make_record()[0].training.model_dump(mode="json")
    del plain["first_stage"]
    assert Training.model_validate(plain).first_stage is None


def test_a_training_of_two_stages(make_record):
    training = make_record()[0].training
    both = training.model_copy(update={"first_stage": training})
    assert Training.model_validate_json(both.model_dump_json()) == both
