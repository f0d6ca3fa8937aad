/** What one encoder is worth over another. */
import { markup, type Markup } from "@consilium/shared/page/markup";
import { measureText, MODE_TEXT, ORIGIN_TEXT, pText } from "../describe.ts";
import type { EncoderDifference } from "../types.ts";
import { intervalText, section } from "./names.ts";

export function differenceSection(differences: readonly EncoderDifference[], measure: string): Markup | null {
  if (differences.length === 0) return null;
  const several = differences.length > 1;
  const areTested = differences.some(({ delong }) => delong !== null);
  return section(
    `Differences of ${measureText(measure)}`,
    markup`<p class="note">On the same test patients, means over seeds. ${
      areTested
        ? "Two ways to an interval: resampled patients, and DeLong's test with the images of a patient taken together. Both say"
        : "The interval, of resampled patients, says"
    } how much the choice of test patients matters, not that of the labels to train on.
      ${areTested && several ? `These are ${differences.length} tests, and p is not corrected for their number.` : null}</p>`,
    markup`<div class="scroll"><table>
    <thead><tr><th scope="col">Encoder</th><th scope="col">less</th><th scope="col">Trained</th>
      <th scope="col" class="number">Bootstrap</th>${areTested ? markup`<th scope="col" class="number">DeLong</th><th scope="col" class="number">p</th>` : null}</tr></thead>
    <tbody>${differences.map(
      ({ from, over, mode, bootstrap, delong }) => markup`<tr>
        <th scope="row">${ORIGIN_TEXT[from]}</th><td class="start">${ORIGIN_TEXT[over]}</td><td class="start">${MODE_TEXT[mode]}</td>
        <td class="number">${intervalText(bootstrap)}</td>${areTested ? markup`<td class="number">${intervalText(delong)}</td><td class="number">${delong === null ? "–" : pText(delong.p)}</td>` : null}</tr>`,
    )}</tbody>
  </table></div>`,
  );
}
