from lsntp.training.provenance import Recipe
from lsntp.training.unfinished import begin, finish


def recipe(model="net", **changes):
    settings = {"training": {"epochs": changes.pop("epochs", 2), "batch_size": 8}}
    content = {
        "model": model,
        "kind": "network",
        "domain": "small",
        "training_period": ("a", "b"),
        "validation_period": ("b", "c"),
        "training_data": "0123",
        "grid_digest": "4567",
        "history": 4,
        "horizon": 3,
        "cadence_h": 1,
        "settings": settings,
        "seed": 1,
        "code_version": "0.1",
    }
    return Recipe.model_validate(content | changes)


def start(folder, of, *, saves=True):
    work = folder / of.version
    begin(work, of)
    if saves:
        (work / "checkpoints").mkdir(exist_ok=True)
        (work / "checkpoints" / "00000001-0.ckpt").touch()
    return work


def test_a_fit_of_another_recipe_is_told_from_the_unfinished_one(tmp_path, caplog):
    old = start(tmp_path, recipe())
    start(tmp_path, recipe(epochs=5, training_data="89ab"))
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{recipe(epochs=5, training_data='89ab').version} starts afresh")
    assert str(old) in message
    assert (
        "(settings.training.epochs 5 here, 2 there, training_data 89ab here, 0123 there)" in message
    )


def test_going_on_with_the_same_recipe_is_no_news(tmp_path, caplog):
    start(tmp_path, recipe())
    start(tmp_path, recipe(epochs=5))
    caplog.clear()
    start(tmp_path, recipe())
    assert not caplog.records


def test_finished_and_foreign_fits_do_not_matter(tmp_path, caplog):
    finish(start(tmp_path, recipe()))
    start(tmp_path, recipe("net-b"))
    start(tmp_path, recipe("other"))
    start(tmp_path, recipe(epochs=9), saves=False)
    damaged = start(tmp_path, recipe(epochs=7), saves=False)
    (damaged / "recipe.json").write_text("{")
    (damaged / "checkpoints").mkdir()
    (damaged / "checkpoints" / "1.ckpt").touch()
    start(tmp_path, recipe(epochs=5))
    assert not caplog.records


def test_only_the_checkpoints_go_at_the_end(tmp_path):
    work = start(tmp_path, recipe())
    finish(work)
    assert [path.name for path in work.iterdir()] == ["recipe.json"]
    finish(work)
