// The figures of `/metrics` as small charts of the last minute.

import { type Figure, FIGURES, isAnswered, POINTS, series } from "../figures";

export function FiguresView() {
  return (
    <section class="figures" aria-label="Figures of /metrics">
      <header class="side-head">
        <h2>Figures</h2>
        <span class="faint">{isAnswered.value ? "last minute of /metrics" : "no answer"}</span>
      </header>
      <div class="charts">
        {FIGURES.map((figure, index) => (
          <Chart key={figure.name} figure={figure} lines={series.value[index] ?? []} />
        ))}
      </div>
    </section>
  );
}

const WIDTH = 120;
const HEIGHT = 32;

function Chart({ figure, lines }: { figure: Figure; lines: readonly (readonly number[])[] }) {
  const { name, about, unit, atLeast, print } = figure;
  const top = Math.max(atLeast, ...lines.flat().filter(Number.isFinite));
  const last = lines.map((line) => line.at(-1) ?? NaN);
  const values = last.map((value) => (Number.isFinite(value) ? print(value) : "–"));
  const spoken = figure.lines.map((line, index) => `${line.name} ${values[index]}`).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        <span class="faint" title={about}>
          {name}
        </span>
        <span class="value">
          {values.map((value, index) => (
            <span key={index} class={`line-${index + 1}`}>
              {value}
            </span>
          ))}
          <span class="unit">{unit}</span>
        </span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${about}: ${spoken} ${unit}`}>
        {lines.map((line, index) => (
          <g key={index} class={`line-${index + 1}`}>
            {index === 0 && <path class="area" d={path(line, top, true)} />}
            <path class="line" d={path(line, top, false)} vector-effect="non-scaling-stroke" />
          </g>
        ))}
      </svg>
    </figure>
  );
}

/** A line through what was read; it breaks where nothing was. */
function path(values: readonly number[], top: number, isArea: boolean): string {
  const step = WIDTH / (POINTS - 1);
  const start = POINTS - values.length;
  const runs: [number, number][][] = [[]];
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) runs.push([]);
    else runs.at(-1)?.push([(start + index) * step, HEIGHT - 1 - (value / top) * (HEIGHT - 3)]);
  });
  return runs
    .filter((run) => run.length > 0)
    .map((run) => {
      const line = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      const [first, end] = [run[0]?.[0] ?? 0, run.at(-1)?.[0] ?? 0];
      return isArea ? `M${first.toFixed(1)} ${HEIGHT}L${line}L${end.toFixed(1)} ${HEIGHT}Z` : `M${line}`;
    })
    .join("");
}
