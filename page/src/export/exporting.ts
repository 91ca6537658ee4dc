// Files of the edited mask.
import { unpackBytes } from "../data/unpack";
import type { Session } from "../state/session";
import { niftiFile } from "./nifti";
import { pngFile } from "./png";
import { segFile } from "./seg";

export const KINDS = { png: "Mask (PNG)", nifti: "NIfTI", seg: "DICOM SEG" } as const;
export type Kind = keyof typeof KINDS;

const SUFFIXES: Record<Kind, string> = { png: ".png", nifti: ".nii", seg: ".dcm" };

/** Why this kind of file cannot be written for this image; null if it can. */
export function missing({ study }: Session, kind: Kind): string | null {
  const { nifti, seg } = study.facts.exports;
  if (kind === "nifti" && !nifti) return "NIfTI needs an image that knows its place in space, and this one does not.";
  if (kind === "seg" && !seg) return "DICOM SEG needs an image from a DICOM file.";
  return null;
}

/** The edited label map as a file. Throws an error that says what is missing. */
export async function fileOf(session: Session, kind: Kind): Promise<Uint8Array<ArrayBuffer>> {
  const { height, width, facts } = session.study;
  const { edited } = session.now;
  if (!edited) throw new Error("export: there is no mask to write; pick an outline to edit first");
  const reason = missing(session, kind);
  if (reason !== null) throw new Error(`export: ${reason}`);
  if (kind === "nifti") return niftiFile(await unpackBytes(facts.exports.nifti!), edited, height, width);
  if (kind === "seg")
    return segFile(await unpackBytes(facts.exports.seg!.file), facts.exports.seg!, edited, session.label);
  return pngFile(edited, height, width, facts.classes.length === 2);
}

/** Offers the file to the reader as a download, and says its name. */
export async function download(session: Session, kind: Kind): Promise<void> {
  const url = URL.createObjectURL(new Blob([await fileOf(session, kind)]));
  const link = document.createElement("a");
  link.href = url;
  link.download = nameFor(session.study.facts.title) + SUFFIXES[kind];
  link.click();
  const empty = !session.now.edited?.some((label) => label > 0);
  session.say(`Saved ${link.download}${empty ? "; its mask is empty" : ""}.`, "edit");
  setTimeout(() => {
    URL.revokeObjectURL(url);
  }, 10_000);
}

/** The title as the name of a file: letters, digits, dots, hyphens and underscores alone. */
export function nameFor(title: string): string {
  const plain = title.replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^[._]+|[._]+$/g, "");
  return `${plain.slice(0, 80) || "image"}_mask`;
}
