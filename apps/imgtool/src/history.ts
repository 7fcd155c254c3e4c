/**
 * History=: the settings of the latest build, kept where mkosi keeps its own. The verbs that take a built image
 * take it as it was built, whatever options that build was given.
 * @module
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ConfiguredImage, findSetting, type Resolution, type SettingValue } from "@imgtool/config";
import { ConfigError, errorMessage, systemErrorCode } from "@imgtool/core";
import { makeAtomically } from "@imgtool/host";

type Settings = Readonly<Record<string, SettingValue>>;

/** What may change without another build: how the image is run. As mkosi has it. */
const free: ReadonlySet<string> = new Set(["Include", "Runtime", "Host"]);

function historyPath(directory: string): string {
  return join(directory, ".mkosi-private/history/latest.json");
}

function isOfBuild(name: string): boolean {
  const setting = findSetting(name);
  return setting !== undefined && !free.has(setting.section);
}

/**
 * Keeps the settings of a build, where they ask for it; what is kept of a former one is the latest no more, and goes.
 * Credentials are none of them; a root password is.
 */
export async function keepHistory(directory: string, settings: Settings): Promise<void> {
  const path = historyPath(directory);
  if (settings["History"] !== true) {
    rmSync(path, { force: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  const text = JSON.stringify(
    Object.fromEntries(Object.entries(settings).filter(([name]) => isOfBuild(name))),
    null,
    2,
  );
  await makeAtomically(path, async (temporary) => await writeFile(temporary, `${text}\n`, { mode: 0o600 }));
}

/**
 * The settings of the latest build, in the place of those that the files have now; undefined where none are kept.
 * @throws ConfigError `history-invalid`
 */
export function readHistory(directory: string): ConfiguredImage | undefined {
  const path = historyPath(directory);
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as unknown;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SyntaxError("not an object");
    // One that mkosi has written says more.
    const known = Object.entries(value as Settings).filter(([name]) => isOfBuild(name));
    return { image: undefined, script: path, settings: Object.fromEntries(known) };
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    if (!(error instanceof SyntaxError)) throw error;
    throw new ConfigError(`${path} is not the settings of a build: ${errorMessage(error)}`, {
      code: "history-invalid",
      hint: "build with --force, which writes it anew, or remove it",
      data: { path },
      cause: error,
    });
  }
}

/** The options of the command line that the settings of the latest build leave without effect. */
export function ignoredOptions(
  { values }: Resolution,
  items: readonly { readonly setting: string; readonly option: string }[],
  { settings }: ConfiguredImage,
): string[] {
  const now = new Map(values.map(({ name, value }) => [name, JSON.stringify(value)]));
  const ignored = items.filter(
    ({ setting }) => isOfBuild(setting) && now.get(setting) !== JSON.stringify(settings[setting]),
  );
  return [...new Set(ignored.map(({ option }) => option))];
}
