import threading

from captum_ext.soundness.evidence import collect_evidence, is_evidence_wanted, note


def test_notes_of_a_name_are_collected_in_order():
    with collect_evidence() as notes:
        note("sum", 1)
        note("other", 2)
        note("sum", 3)
    assert notes == {"sum": [1, 3], "other": [2]}


def test_without_a_reader_nothing_is_kept():
    note("sum", 1)
    with collect_evidence() as notes:
        pass
    assert notes == {} and not is_evidence_wanted()


def test_an_inner_call_keeps_its_notes_to_itself():
    with collect_evidence() as outer:
        with collect_evidence() as inner:
            note("sum", 1)
        note("sum", 2)
    assert (outer, inner) == ({"sum": [2]}, {"sum": [1]})


def test_notes_of_other_threads_do_not_count():
    with collect_evidence() as notes:
        thread = threading.Thread(target=note, args=("sum", 1))
        thread.start()
        thread.join()
    assert notes == {}
