"""Results of benchmarks.scenes.formats as tables."""

from __future__ import annotations

from typing import Any

from benchmarks.support.tables import Rows


def sizes(results: dict[str, Any]) -> Rows:
    """Bytes a splat, by degree of the harmonics."""
    rows = [["format", *(f"degree {degree}" for degree in range(4)), "PLY is so many times larger"]]
    formats = results["formats"]
    for name, found in formats.items():
        bytes_a_splat = [found[f"degree {degree}"]["bytes_a_splat"] for degree in range(4)]
        ratio = formats["PLY"]["degree 3"]["bytes_a_splat"] / bytes_a_splat[-1]
        rows.append([name, *(f"{each:.1f}" for each in bytes_a_splat), f"{ratio:.1f}"])
    return rows


def losses(results: dict[str, Any]) -> Rows:
    """PSNR of pictures of what was read, and errors of positions."""
    waves = f"{results['waves']} waves"
    rows = [["format", *(f"degree {n}" for n in range(4)), waves, "antialiased", "by gsply"]]
    rows[0] += ["position error", "in UTM"]
    for name, found in results["formats"].items():
        psnr = [found[f"degree {n}"]["psnr"] for n in range(4)]
        psnr += [found[each]["psnr"] for each in ("waves", "antialiased")]
        theirs = found["degree 3"].get("psnr_by_gsply")
        errors = (found[each]["position_error"] for each in ("degree 3", "UTM"))
        rows.append(
            [
                *(name, *map(_decibel, psnr), "" if theirs is None else _decibel(theirs)),
                *(f"{each:.1g}" for each in errors),
            ]
        )
    return rows


def kept(results: dict[str, Any]) -> Rows:
    """What files say beside the splats."""
    rows = [["format", "keeps"]]
    formats = results["formats"].items()
    return rows + [[name, ", ".join(found["keeps"]) or "nothing"] for name, found in formats]


def times(results: dict[str, Any]) -> Rows:
    """Seconds and memory of large files."""
    rows = [["format", "by", "save (s)", "memory (GB)", "load (s)", "memory (GB)"]]
    for name, programs in results["large"]["formats"].items():
        for who, found in programs.items():
            cells = [
                cell
                for what in ("save", "load")
                for cell in (
                    f"{found[what]['seconds']:.1f}",
                    f"{found[what]['peak_bytes'] / 1e9:.2f}",
                )
            ]
            rows.append([name, who, *cells])
    return rows


def _decibel(value: float) -> str:
    return "exact" if value >= 99.95 else f"{value:.1f}"


def titled(results: dict[str, Any]) -> dict[str, Rows]:
    """All tables, by what they are of."""
    found = {
        f"Bytes a splat ({results['splats']:,} splats)": sizes(results),
        "PSNR (dB) of pictures of what is read back against those of what was written": losses(
            results
        ),
        "What is kept beside splats": kept(results),
    }
    if "large" in results:
        found[f"Time and memory of {results['large']['splats']:,} splats"] = times(results)
    return found
