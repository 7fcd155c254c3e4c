/**
 * `--uid-shift` and `--uid-range`, with casync's meaning.
 * @module
 */
import { defaultIdRange, type IdShift, shiftOfDirectory } from "@imgtool/sync";
import { type Command, InvalidArgumentError } from "commander";
import { yesNo } from "./parse.ts";

export interface UidOptions {
  /** A number, or true for what the directory's owner tells. */
  readonly uidShift?: number | boolean;
  readonly uidRange?: number;
}

export function addUidOptions(command: Command): Command {
  return command
    .option(
      "--uid-shift <yes|no|number>",
      "the host's id of the tree's root user; yes: as the directory's owner",
      (text) => (/^\d+$/.test(text) && text !== "0" && text !== "1" ? id(text) : yesNoOrNumber(text)),
    )
    .option("--uid-range <number>", `how many ids there are from the shift on; ${defaultIdRange} otherwise`, id);
}

/** As casync, 0 and 1 are numbers here. */
function yesNoOrNumber(text: string): number | boolean {
  if (/^[01]$/.test(text)) return Number(text);
  try {
    return yesNo(text);
  } catch {
    throw new InvalidArgumentError("expected yes, no or a number.");
  }
}

function id(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 0xffff_fffe) throw new InvalidArgumentError("expected a number of 32 bits.");
  return number;
}

/** The range of ids that the options tell; undefined when there is none. */
export function idShiftOf(options: UidOptions, directory: string): IdShift | undefined {
  const { uidShift = false, uidRange } = options;
  if (uidRange === 0 || (uidShift === false && uidRange === undefined)) return undefined;
  const shift = typeof uidShift === "number" ? uidShift : uidShift ? shiftOfDirectory(directory) : 0;
  return { shift, range: uidRange ?? defaultIdRange };
}
