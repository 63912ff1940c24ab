"""A set of names that follows its table."""

from sklearn.utils._param_validation import StrOptions

from sktransfer._utils.choices import Choices, any_of

TABLE = {"b": 1, "a": 2, "c": 3}


def test_it_is_the_names_in_the_order_of_the_table():
    assert list(Choices(TABLE)) == ["b", "a", "c"]
    assert list(Choices(TABLE, lambda n: n > 1, also=("auto",))) == ["auto", "a", "c"]
    assert repr(Choices(TABLE)) == "('b', 'a', 'c')"


def test_set_operations_give_sets():
    assert Choices(TABLE) - {"a"} == {"b", "c"}
    assert {"a", "z"} - Choices(TABLE) == {"z"}


def test_a_new_entry_is_allowed_at_once():
    table = dict(TABLE)
    constraint = StrOptions(Choices(table))
    assert not constraint.is_satisfied_by("d")
    table["d"] = 4
    assert constraint.is_satisfied_by("d")
    assert "'d'" in str(constraint)


def test_alternatives_read_as_a_sentence():
    assert any_of(["a"]) == "'a'"
    assert any_of(Choices(TABLE)) == "'b', 'a' or 'c'"
