"""The benchmark of training's options: what it trains, skips, compares and refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from colmap_files import ring, write_capture
from torch import Tensor

from benchmarks.support.report import WIDTH
from benchmarks.support.tables import BEGIN, END, show
from benchmarks.training import __main__ as program
from benchmarks.training import training_tables as tables
from benchmarks.training import variants
from benchmarks.training.cases import Case, color_corrected
from benchmarks.training.light import in_linear_light
from gaborsplat.renderer.training import LearningRates, TrainConfig, psnr
from gaborsplat.renderer.training.schedule import Schedule


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(ring(), tmp_path_factory.mktemp("captures") / "ring")


@pytest.fixture
def options(capture: Path, tmp_path: Path) -> program.Options:
    """Three steps of everything, with no variant but the baseline."""
    return program.Options(
        captures=(capture,),
        textures=(),
        variant=("default",),
        size=32,
        steps=3,
        splats=60,
        out=tmp_path / "out.json",
    )


def results(options: program.Options) -> list[dict[str, Any]]:
    return json.loads(options.out.read_text(encoding="utf-8"))["runs"]


def never(*_: object) -> dict[str, Any]:
    pytest.fail("trained again")


def test_every_fault_is_trained_once_and_shown(
    options: program.Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    docs = tmp_path / "page.md"
    docs.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    program.main(options)
    runs = results(options)
    assert [run["disturbance"] for run in runs] == list(program.DISTURBANCES)
    for run in runs:
        assert all(math.isfinite(run[name]) for name in tables.FIGURES)
        assert run["cc_psnr"] > run["psnr"] - 0.01
        assert run["aligned_psnr"] > run["psnr"] - 0.5
        assert run["seconds"] > 0 and 0 < run["splats_made"] <= 60 and run["bytes"] > 0
    plain = next(run for run in runs if run["disturbance"] == "none")
    assert plain["true_psnr"] == plain["psnr"]
    monkeypatch.setattr(program, "measured", never)
    program.main(replace(options, docs=docs))
    assert results(options) == runs
    text = docs.read_text(encoding="utf-8")
    assert all(f"| ring | {name} | default |" in text for name in program.DISTURBANCES)


def test_what_is_missing_is_trained_and_nothing_else(
    options: program.Options, monkeypatch: pytest.MonkeyPatch
):
    program.main(replace(options, only=("*/none/*",)))
    before = results(options)
    assert len(before) == 1
    trained: list[str] = []

    def noted(case: Case, data: Any) -> dict[str, Any]:
        trained.append(case.label)
        return before[0] | {name: getattr(case, name) for name in Case.__dataclass_fields__}

    monkeypatch.setattr(program, "measured", noted)
    more = ("default", "flat=gabor:0,sh_degree:1")
    program.main(replace(options, variant=more, only=("ring/none/*", "ring/*/flat/0")))
    assert trained == [f"ring/{name}/flat/0" for name in program.DISTURBANCES]
    program.main(replace(options, seeds=2, only=("*/none/*",)))
    assert trained[5:] == ["ring/none/default/1"]
    program.main(replace(options, steps=4, only=("*/none/*",)))
    assert trained[6:] == ["ring/none/default/0"]
    assert results(options)[0] == before[0]


def test_no_case_starts_when_the_time_is_over(
    options: program.Options, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(program, "measured", never)
    program.main(replace(options, minutes=0.0))
    assert not options.out.exists()


def test_a_fit_that_diverges_is_told_and_the_others_go_on(
    options: program.Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    measured = program.measured

    def sometimes(case: Case, data: Any) -> dict[str, Any]:
        if case.disturbance == "exposure":
            raise ArithmeticError("the fit has diverged")
        return measured(case, data)

    monkeypatch.setattr(program, "measured", sometimes)
    program.main(replace(options, only=("*/none/*", "*/exposure/*")))
    assert [run["disturbance"] for run in results(options)] == ["none"]
    assert "ring/exposure/default/0: left out, the fit has diverged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": ("a=no_such:1",)}, "TrainConfig has no setting no_such"),
        ({"variant": ("nobody",)}, "must be one of default, no-exposure, no-poses, gsplat, or"),
        ({"variant": ("a=gabor:3",)}, "gabor must be one of 0, 1, 2, 4, not 3"),
        ({"variant": ("a=wave_limit:perhaps",)}, "wave_limit must be one of False, True"),
        ({"variant": ("a=sh_every:1.5",)}, "sh_every must be int, not 1.5"),
        ({"variant": ("a=ssim_weight:2",)}, "ssim_weight must be between 0.0 and 1.0, not 2.0"),
        ({"variant": ("a=ssim_weight",)}, "must be NAME=field:value,field:value"),
        ({"variant": ("a=background:0",)}, "background cannot be set here"),
        ({"textures": ("silk",)}, "not silk"),
        ({"steps": 0}, "must be 1 or more"),
        ({"captures": (Path("nowhere"),)}, "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line_before_anything_is(
    change: dict[str, Any],
    message: str,
    options: program.Options,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(program, "measured", never)
    with pytest.raises(SystemExit) as error:
        program.main(replace(options, **change))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_captures_of_one_name_and_variants_that_were_others_are_refused(
    options: program.Options, capture: Path
):
    with pytest.raises(SystemExit, match="called as"):
        program.main(replace(options, captures=(capture, capture / "sparse" / "0")))
    program.main(replace(options, variant=("a=gabor:0",), only=("*/none/*",)))
    with pytest.raises(SystemExit, match="must be gabor:0, as in"):
        program.main(replace(options, variant=("a=gabor:1",)))


@pytest.mark.parametrize("content", ["{", '{"runs": [{"capture": "a"}]}', "[]"])
def test_a_file_of_something_else_is_not_written_over(options: program.Options, content: str):
    options.out.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match="must have results of this benchmark"):
        program.main(options)
    assert options.out.read_text(encoding="utf-8") == content


def test_a_variant_is_the_settings_that_its_text_says():
    text = "gabor:0,wave_limit:False,noise:2.5,strategy:default,learning_rates.sh0:0.5"
    config = variants.configured(TrainConfig(steps=7), text)
    rates = replace(LearningRates(), sh0=0.5)
    expected = TrainConfig(
        steps=7, gabor=0, wave_limit=False, noise=2.5, strategy="default", learning_rates=rates
    )
    assert config == expected
    assert variants.parsed(variants.described(variants.parsed(text))) == variants.parsed(text)


@pytest.mark.parametrize("steps", [300, 2000, 30_000, 60_000])
def test_gsplats_settings_have_its_rates_and_its_stages_whatever_the_length(steps: int):
    settings = variants.variants(steps)["gsplat"]
    config = variants.configured(TrainConfig(steps=steps), settings)
    schedule = Schedule.of(config)
    rates = schedule.rates(0, config.learning_rates)
    usual = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "sh0": 2.5e-3}
    usual["shN"] = 2.5e-3 / 20
    assert {name: rates[name] for name in usual} == pytest.approx(usual)
    assert schedule.rates(steps, config.learning_rates)["means"] == pytest.approx(1.6e-6)
    assert (config.strategy, config.gabor) == ("default", 0)
    assert schedule.refine_stop == pytest.approx(steps / 2, abs=1)
    assert schedule.refine_start == pytest.approx(min(500, steps / 60), abs=1)


def brightened(text: str, image: Tensor) -> Tensor:
    """A photo [H, W, 3] uint8, with each channel's light times one of the factors in `text`."""
    gains = torch.tensor([float(each) for each in text.split()])
    return in_linear_light(image, lambda light: light * gains)


@pytest.mark.parametrize("gains", ["1.41 1.41 1.41", "0.71 0.78 0.64"])
def test_an_exposure_alone_costs_colour_corrected_psnr_little(gains: str):
    image = torch.randint(180, (40, 60, 3), dtype=torch.uint8)  # not so bright that it is clipped
    shown, photo = image.float() / 255, brightened(gains, image).float() / 255
    assert float(psnr(shown, photo)) < 25
    assert float(psnr(color_corrected(shown, photo), photo)) > 38


def test_colour_correction_looks_at_what_counts_and_leaves_black():
    shown = torch.full((4, 6, 3), 0.5)
    photo = torch.full((4, 6, 3), 0.25)
    photo[:, 3:] = 1.0
    counting = torch.zeros(4, 6, dtype=torch.bool)
    counting[:, :3] = True
    assert torch.allclose(color_corrected(shown, photo, counting), torch.tensor(0.25))
    assert torch.equal(color_corrected(torch.zeros(4, 6, 3), photo), torch.zeros(4, 6, 3))


def test_light_and_values_are_those_of_the_standard():
    image = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256).permute(1, 2, 0)
    assert torch.equal(in_linear_light(image, lambda light: light), image)
    halved = in_linear_light(image, lambda light: light / 2)
    assert halved[0, 255].tolist() == [188] * 3  # 0.5 ** (1 / 2.4) and so on
    assert halved[0, 8].tolist() == [4] * 3  # where it is linear


def run(variant: str, disturbance: str, seed: int, psnr: float, session: str = "a") -> Any:
    case = Case("c", disturbance, variant, "", seed, 32, 10, 60)
    made = {"splats_made": 60, "bytes": 1000, "seconds": 2.0, "session": session}
    figures = {"psnr": psnr, "cc_psnr": psnr + 1, "ssim": psnr / 40, "true_psnr": psnr + 2}
    return {**vars(case), **made, **figures}


def test_differences_are_of_equal_seeds_and_times_of_one_session():
    runs = [
        *(run("default", "none", seed, 20 + seed) for seed in (0, 1)),
        *(run("default", "poses", seed, 18 + seed) for seed in (0, 1)),
        run("robust", "poses", 1, 19.5) | {"seconds": 3.0},
        run("robust", "none", 1, 20.5, session="b"),
        run("robust", "none", 7, 90.0),
    ]
    found = tables.titled(runs)
    first, second, third = found.values()
    assert [row[1:3] for row in first[1:]] == [
        ["none", "default"],
        ["none", "robust"],
        ["poses", "default"],
        ["poses", "robust"],
    ]
    by_name = [{tuple(row[1:3]): row[3:] for row in each[1:]} for each in (first, second)]
    assert by_name[0]["poses", "default"][4:] == ["+2.00", "+2.00", "2"]
    assert by_name[0]["none", "default"][4:] == ["", "", "2"]
    assert by_name[0]["none", "default"][0] == "20.50"
    assert by_name[0]["poses", "robust"][4] == "+1.00"  # of seed 1, the only one with both
    assert by_name[1]["poses", "robust"][0] == "+0.50"
    assert by_name[1]["poses", "robust"][-1] == "1.50"
    assert by_name[1]["none", "robust"][0] == "-0.50"
    assert by_name[1]["none", "robust"][-1] == ""  # timed on another day
    gained = ["+0.50 (+0.50)", "+0.50 (+0.50)", "+0.013 (+0.013)", "+0.50 (+0.50)", "1"]
    lost = [cell.replace("+", "-") for cell in gained]
    assert third[1:] == [["none", "robust", *lost], ["poses", "robust", *gained]]


def test_what_wrong_cameras_cost_is_told_with_test_cameras_aligned():
    runs = [
        *(run("default", name, 0, 20) | {"aligned_psnr": 23.0} for name in ("none", "exposure")),
        run("default", "poses", 0, 15) | {"aligned_psnr": 21.0},
        run("off", "poses", 0, 15) | {"aligned_psnr": 19.0},
        run("default", "poses", 1, 15),  # by a program that aligned none
    ]
    (rows,) = (rows for title, rows in tables.titled(runs).items() if "aligned" in title)
    assert [row[1:] for row in rows[1:]] == [
        ["none", "default", "23.00", "", "1"],
        ["poses", "default", "21.00", "+2.00", "1"],
        ["poses", "off", "19.00", "", "1"],
    ]
    assert not any("aligned" in title for title in tables.titled(runs[:2]))


def test_tables_have_all_their_figures_in_a_terminal_of_usual_width(
    capsys: pytest.CaptureFixture[str],
):
    pairs = [(variant, name) for variant in ("default", "gsplat") for name in program.DISTURBANCES]
    runs = [run(variant, name, 0, 21.5) | {"capture": "lund_door"} for variant, name in pairs]
    show(tables.titled(runs))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)


def test_runs_of_other_sizes_are_not_compared():
    runs = [run("default", "none", 0, 20), run("robust", "none", 0, 25) | {"size": 64}]
    found = tables.titled(runs)
    assert len(found) == 4  # no differences over captures, of either
    assert not any("over captures" in title for title in found)
    assert not any("+5" in cell for rows in found.values() for row in rows for cell in row)
