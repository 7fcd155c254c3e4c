/**
 * What is known while one image's configuration is read: two layers of assignments, the command line
 * above the files, and the defaults below both.
 * @module
 */
import type { ConfigFiles } from "./files.ts";
import type { SettingValue } from "./kind.ts";
import type { Origin, ProblemList } from "./problem.ts";
import type { HostFacts } from "./setting.ts";

/** A value with where it was written: one origin for a scalar, one for each item of a collection. */
export interface Held {
  readonly value: SettingValue;
  readonly origins: readonly Origin[];
}

/** Assigned settings by name. undefined: emptied on purpose, which is not the same as never assigned. */
export type Layer = Map<string, Held | undefined>;

export interface State {
  readonly files: ConfigFiles;
  readonly host: HostFacts;
  readonly environment: Readonly<Record<string, string>>;
  /** The project directory, absolute. */
  readonly directory: string;
  readonly problems: ProblemList;
  readonly commandLine: Layer;
  /** Collections that the command line emptied: nothing of the files reaches them. */
  readonly emptiedByCommandLine: Set<string>;
  readonly config: Layer;
  /** Defaults that were needed already; a default does not change once something relied on it. */
  readonly defaults: Map<string, SettingValue>;
  /** Identities of what Include= has read. */
  readonly included: Set<string>;
  /** Configuration files, in the order they were read. */
  readonly read: string[];
  /** Name of the sub-image, undefined for the main image. */
  readonly image: string | undefined;
}

/** The state of an image of which nothing is read yet. */
export function newState(
  known: Pick<State, "files" | "host" | "environment" | "directory" | "problems" | "image">,
): State {
  return {
    ...known,
    commandLine: new Map(),
    emptiedByCommandLine: new Set(),
    config: new Map(),
    defaults: new Map(),
    included: new Set(),
    read: [],
  };
}
