import { contradicted } from "../data/contradicting";
import type { Session } from "../state/session";

const MOST = 3; // pixels that are named

/** Where a label map disagrees with the pixels that are settled, in words; nothing where it does not. */
export function contradiction({ study, now }: Session, labels: Uint8Array): string {
  const found = contradicted(labels, study.width, now.conditions);
  const named = found
    .slice(0, MOST)
    .map(({ row, column, inside }) =>
      inside
        ? `leaves out row ${row}, column ${column}, which you said is inside`
        : `contains row ${row}, column ${column}, which you said is outside`,
    );
  if (found.length > MOST) named.push(`disagrees with ${found.length - MOST} more pixels that you settled`);
  return named.length ? `It ${named.join("; ")}.` : "";
}
