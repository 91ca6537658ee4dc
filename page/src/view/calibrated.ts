// What came of a probability like this one, where the model was checked.
import type { Bins } from "../case";
import { count, percent } from "./words";

const NEAR = 0.05; // half of a bin of ten
const ENOUGH = 20; // images

/** A sentence on the bin of this probability of anything; nothing where too few images are in it. */
export function calibrated(bins: Bins | null | undefined, probability: number): string {
  if (!bins) return "";
  const nearest = bins.predicted
    .map((predicted, i) => ({ away: Math.abs(predicted - probability), i }))
    .sort((a, b) => a.away - b.away)
    .at(0);
  if (!nearest || nearest.away > NEAR) return "";
  const images = Math.round(bins.count[nearest.i]);
  if (images < ENOUGH) return "";
  return (
    `Where it was checked: when it said about ${percent(bins.predicted[nearest.i])}, experts marked something ` +
    `${percent(bins.observed[nearest.i])} of the time (${count(images, "image")}).`
  );
}
