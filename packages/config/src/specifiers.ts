/**
 * Specifiers: `%d` and its like stand for settings and paths, `%%` for a percent sign.
 * @module
 */
import { textOf } from "./kind.ts";
import { valueOf } from "./merge.ts";
import { findDistribution } from "./names.ts";
import type { Origin } from "./problem.ts";
import { formatName } from "./settings/output.ts";
import { settingOfSpecifier } from "./settings.ts";
import type { State } from "./state.ts";

/** Where a text stands: in a file of `fileDirectory`, read while `workingDirectory` was the current one. */
export interface SpecifierPlace extends Origin {
  readonly fileDirectory: string;
  readonly workingDirectory: string;
}

/** The text with its specifiers replaced. An unknown or unset one gives nothing, and a warning. */
export function expandSpecifiers(text: string, place: SpecifierPlace, state: State): string {
  return text.replace(/%(.?)/gsu, (_whole, letter: string) => {
    if (letter === "" || letter === "%") return "%";
    const value = specifierValue(letter, place, state);
    if (value !== undefined) return value;
    const { fileDirectory: _file, workingDirectory: _working, ...origin } = place;
    const setting = settingOfSpecifier(letter);
    state.problems.warn({
      ...origin,
      code: "specifier-empty",
      message:
        setting === undefined
          ? `unknown specifier %${letter}`
          : `${setting.name}= is not set, so that %${letter} stands for nothing`,
      ...(setting === undefined ? { hint: "write %% for a percent sign" } : {}),
    });
    return "";
  });
}

function specifierValue(letter: string, place: SpecifierPlace, state: State): string | undefined {
  const setting = settingOfSpecifier(letter);
  if (setting !== undefined) {
    const value = valueOf(setting.name, state);
    if (value === null) return undefined;
    return setting.name === "Format" ? formatName(value) : textOf(value);
  }
  switch (letter) {
    case "C":
      return place.fileDirectory;
    case "P":
      return place.workingDirectory;
    case "D":
      return state.directory;
    case "F":
      return findDistribution(textOf(valueOf("Distribution", state)))?.filesystem;
    case "I":
      return state.image ?? "";
    default:
      return undefined;
  }
}
