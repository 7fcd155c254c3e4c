/**
 * What is no mistake and still worth a word: settings that nobody acts on yet, trees that are not
 * there, scripts that cannot run, package names that look like two.
 * @module
 */
import { booleanOf, textOf } from "./kind.ts";
import type { SettingValue } from "./kind.ts";
import { effective, valueOf } from "./merge.ts";
import { isBelow } from "./paths.ts";
import { formatOrigin } from "./problem.ts";
import type { SettingDefinition } from "./setting.ts";
import { settings } from "./settings.ts";
import type { State } from "./state.ts";

/** Adds the warnings that only the resolved settings can give. */
export function advise(state: State): void {
  for (const setting of settings) {
    warnUnsupported(setting, state);
    if (setting.name === "SkeletonTrees" || setting.name === "ExtraTrees") warnMissing(setting, state);
    if (setting.name.endsWith("Packages")) warnJoined(setting, state);
    if (setting.name.endsWith("Scripts") && setting.supported) warnNotExecutable(setting, state);
  }
}

/** One warning for a setting that asks for something nobody does yet. */
function warnUnsupported(setting: SettingDefinition, state: State): void {
  // How an image is run later is no matter of building it.
  if (setting.supported || setting.section === "Runtime") return;
  // What holds for all images is the main image's to report.
  if (state.image !== undefined && setting.scope === "universal") return;
  const { value, origins, isDefault } = effective(setting, state);
  const origin = origins[0];
  // The machine's trust store is found on every machine, and is not a wish.
  if (isDefault || asksForNothing(setting, value) || origin?.file?.startsWith("/etc/") === true) return;
  state.problems.warn({
    ...origin,
    code: "setting-unsupported",
    message: `${setting.name}= is not supported yet and has no effect`,
  });
}

function asksForNothing(setting: SettingDefinition, value: SettingValue): boolean {
  if (value === null || value === "" || JSON.stringify(value) === JSON.stringify(setting.default)) return true;
  if (typeof value === "object") return Object.keys(value).length === 0;
  if (typeof value === "string") return value === "disabled" || value === "auto" || booleanOf(value) === false;
  return value === false;
}

function warnMissing(setting: SettingDefinition, state: State): void {
  const { value, origins } = effective(setting, state);
  if (!Array.isArray(value)) return;
  const outputs = textOf(valueOf("OutputDirectory", state)) || undefined;
  for (const [index, tree] of value.entries()) {
    const source = typeof tree === "object" && tree !== null && "Source" in tree ? tree["Source"] : undefined;
    // A sub-image's output may be yet to come.
    if (typeof source === "string" && outputs !== undefined && isBelow(source, outputs)) continue;
    if (typeof source !== "string" || state.files.status(source) !== undefined) continue;
    state.problems.warn({ ...origins[index], code: "path-missing", message: `${source} does not exist` });
  }
}

/** A script that cannot run fails the build at its end; better to hear of it now. */
function warnNotExecutable(setting: SettingDefinition, state: State): void {
  const { value, origins } = effective(setting, state);
  if (!Array.isArray(value)) return;
  for (const [index, script] of value.entries()) {
    const status = typeof script === "string" ? state.files.status(script) : undefined;
    if (typeof script !== "string" || status?.kind !== "file" || status.executable) continue;
    state.problems.warn({
      ...origins[index],
      code: "script-not-executable",
      message: `${setting.name}=: ${script} is not executable`,
      hint: `chmod +x ${script}`,
    });
  }
}

/** `Packages=a b` is one package to mkosi. Patterns and conditions of package managers do hold spaces. */
function warnJoined(setting: SettingDefinition, state: State): void {
  const { value, origins } = effective(setting, state);
  if (!Array.isArray(value)) return;
  for (const [index, name] of value.entries()) {
    if (typeof name !== "string" || !/^[\w.+:-]+(\s+[\w.+:-]+)+$/.test(name)) continue;
    const origin = origins[index] ?? {};
    state.problems.warn({
      ...origin,
      code: "package-joined",
      message: `${setting.name}=: ${JSON.stringify(name)} is one package name with white space in it`,
      hint: `separate packages by commas${formatOrigin(origin).startsWith("-") ? "" : " or line ends"}`,
    });
  }
}
