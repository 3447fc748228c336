"""Liveness and readiness, as a proxy or an operator asks for them."""

from __future__ import annotations

from pathlib import Path

from app.demo.forgejo import Forgejo
from tests.support import Person, World


def test_the_process_lives(bare_person: Person) -> None:
    answer = bare_person.fetch("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")


def test_what_is_off_does_not_stand_in_the_way(bare_person: Person) -> None:
    answer = bare_person.fetch("/readyz")
    assert answer.status_code == 200
    assert answer.get_json()["checks"] == {
        "root": "ok",
        "state": "ok",
        "forge": "off",
        "ci": "off",
        "llm": "off",
    }


def test_each_service_that_cannot_be_used_is_named(person: Person, world: World) -> None:
    world.forge.close()
    world.model.close()
    answer = person.fetch("/readyz")
    assert answer.status_code == 503
    checks = answer.get_json()["checks"]
    assert "reach" in checks["forge"]
    assert "reach" in checks["llm"]
    assert checks["root"] == "ok"


def test_asking_often_asks_the_services_once(person: Person, forgejo: Forgejo) -> None:
    for _ in range(5):
        assert person.fetch("/readyz").status_code == 200
    assert len(forgejo.requests) == 1


def test_a_root_that_is_gone_is_named(bare_person: Person, repository: Path) -> None:
    repository.rename(repository.with_name("elsewhere"))
    assert bare_person.fetch("/readyz").get_json()["checks"]["root"] == "cannot be used"
