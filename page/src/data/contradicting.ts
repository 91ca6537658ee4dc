// Where a label map disagrees with what the reader said of pixels.
import type { Condition } from "./findings";
import { NOT_ANNOTATED } from "./study";

export function contradicted(labels: Uint8Array, width: number, conditions: readonly Condition[]): Condition[] {
  return conditions.filter(({ row, column, label, inside }) => {
    const found = labels[row * width + column];
    return found !== NOT_ANNOTATED && (found === label) !== inside;
  });
}
