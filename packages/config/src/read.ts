/**
 * Reads configuration files and directories in mkosi's order: conditions; mkosi.local; the files at
 * their usual places; mkosi.conf with what it includes; mkosi.conf.d/ sorted by name; profiles.
 * @module
 */
import { ConfigError, errorMessage } from "@imgtool/core";
import { isFirstProject } from "./first-project.ts";
import { parseIni } from "./ini.ts";
import type { IniDocument, IniEntry } from "./ini.ts";
import type { KindContext } from "./kind.ts";
import { conditionSections, matches, warnOldName } from "./match.ts";
import { assign, effective, settingHint, valueOf } from "./merge.ts";
import type { Assignment } from "./merge.ts";
import { refuseOpenSecret } from "./path-kinds.ts";
import { compareText, parentPath, resolvePath } from "./paths.ts";
import { nearest } from "./problem.ts";
import type { Origin } from "./problem.ts";
import type { SettingDefinition } from "./setting.ts";
import { unsupportedConfigurations } from "./settings/config.ts";
import { builtinConfigurations } from "./builtin-configurations.ts";
import { legacySections, legacySettings } from "./settings/legacy.ts";
import { findSetting, sectionNames, settings } from "./settings.ts";
import { expandSpecifiers } from "./specifiers.ts";
import type { State } from "./state.ts";

/** Folders of configuration folders nest no deeper than this; a loop of links would. */
const maximumDepth = 32;

const knownSections: readonly string[] = [...sectionNames, "Host", ...conditionSections, ...legacySections];

interface Options {
  readonly profiles?: boolean;
  readonly local?: boolean;
  readonly depth: number;
}

/**
 * Reads a directory with everything in it.
 * @returns false where its mkosi.conf does not match
 */
export function readDirectory(directory: string, state: State, options: Options): boolean {
  if (tooDeep(directory, state, options.depth)) return false;
  const main = `${directory}/mkosi.conf`;
  const legacy = isFirstProject(state.files, directory);
  const file = legacy ? `${directory}/mkosi.default` : main;
  const document = readDocument(file, state);
  if (document !== undefined && !matches(document, placeOf(file, directory), state)) return false;

  if (options.local === true) readLocal(directory, state, options.depth);
  readUsualPlaces(directory, state);
  if (document !== undefined) apply(document, file, directory, state, options.depth, legacy);

  if (legacy) readLegacyFolder(directory, state, options.depth);
  else readFolder(directory, state, options.depth);
  if (options.profiles === true) {
    for (const profile of profilesOf(state)) {
      const path = `${directory}/mkosi.profiles/${profile}`;
      if (state.files.status(path)?.kind === "directory") readDirectory(path, state, { depth: options.depth + 1 });
      if (state.files.status(`${path}.conf`)?.kind === "file")
        readFile(`${path}.conf`, directory, state, options.depth + 1, false);
    }
  }
  return true;
}

/** mkosi.conf.d: files that end in .conf, and directories. */
function readFolder(directory: string, state: State, depth: number): void {
  const folder = `${directory}/mkosi.conf.d`;
  for (const name of namesOf(folder, state)) {
    const path = `${folder}/${name}`;
    if (state.files.status(path)?.kind === "directory") readDirectory(path, state, { depth: depth + 1 });
    else if (name.endsWith(".conf")) readFile(path, directory, state, depth + 1, false);
  }
}

/**
 * mkosi.default.d, up to mkosi 14: all files, then those of the directory that is named after the distribution,
 * which the files may have set.
 */
function readLegacyFolder(directory: string, state: State, depth: number): void {
  const readFiles = (folder: string): void => {
    for (const name of namesOf(folder, state))
      if (state.files.status(`${folder}/${name}`)?.kind === "file")
        readFile(`${folder}/${name}`, directory, state, depth + 1, true);
  };
  readFiles(`${directory}/mkosi.default.d`);
  const distribution = valueOf("Distribution", state);
  if (typeof distribution === "string") readFiles(`${directory}/mkosi.default.d/${distribution}`);
}

/** The names in a directory, sorted. */
function namesOf(folder: string, state: State): string[] {
  return [...(state.files.list(folder) ?? [])].sort(compareText);
}

/**
 * Reads one file. Its relative paths start at `workingDirectory`, not at the file's own folder.
 * @returns false where it does not match
 */
export function readFile(file: string, workingDirectory: string, state: State, depth: number, legacy = false): boolean {
  if (tooDeep(file, state, depth)) return false;
  const document = readDocument(file, state);
  if (document === undefined || !matches(document, placeOf(file, workingDirectory), state)) return false;
  apply(document, file, workingDirectory, state, depth, legacy);
  return true;
}

/** Assigns one option of the command line. Its relative paths start at the project directory. */
export function readOption(setting: SettingDefinition, value: string, option: string, state: State): void {
  assign(
    state.commandLine,
    setting,
    { text: value, origins: [{ option }] },
    contextOf(state.directory, state),
    state.problems,
  );
  if (value === "" && state.commandLine.has(setting.name)) state.emptiedByCommandLine.add(setting.name);
}

/** Reads what Include= named since the last call, each once. */
export function readIncludes(workingDirectory: string, state: State, depth: number): void {
  for (const layer of [state.commandLine, state.config]) {
    const held = layer.get("Include");
    const value = held?.value;
    if (held === undefined || !Array.isArray(value)) continue;
    for (const [index, path] of value.entries())
      if (typeof path === "string") include(path, held.origins[index] ?? {}, workingDirectory, state, depth);
  }
}

function include(path: string, origin: Origin, workingDirectory: string, state: State, depth: number): void {
  if (unsupportedConfigurations.includes(path)) {
    state.problems.error({
      ...origin,
      code: "include-unsupported",
      message: `Include=${path}: imgtool does not have this configuration of mkosi's`,
      hint: "it is for signing on the Open Build Service; sign with SecureBootKey= and VerityKey=, which are files",
    });
    return;
  }
  if (Object.hasOwn(builtinConfigurations, path)) {
    if (!state.included.has(path)) readBuiltin(path, state, depth + 1);
    return;
  }
  const status = state.files.status(path);
  if (status === undefined || state.included.has(status.identity)) return;
  state.included.add(status.identity);
  if (status.kind === "directory") readDirectory(path, state, { profiles: true, depth: depth + 1 });
  else readFile(path, workingDirectory, state, depth + 1, false);
}

/** Reads one of mkosi's own configurations, whose places are named as `mkosi-vm:3`. */
export function readBuiltin(name: string, state: State, depth: number): void {
  state.included.add(name);
  for (const text of builtinConfigurations[name] ?? []) {
    const document = parseIni(text, name);
    if (matches(document, placeOf(name, "/"), state)) apply(document, name, "/", state, depth, false);
  }
}

/** mkosi.local overrides every other file: its values move up to the command line's layer. */
function readLocal(directory: string, state: State, depth: number): void {
  const folder = `${directory}/mkosi.local`;
  const file = `${directory}/mkosi.local.conf`;
  if (state.files.status(`${folder}/mkosi.conf`) !== undefined) readDirectory(folder, state, { depth: depth + 1 });
  else if (state.files.status(file) !== undefined) readFile(file, directory, state, depth + 1, false);
  else return;
  for (const setting of settings) {
    if (!state.config.has(setting.name)) continue;
    const { value, origins } = effective(setting, state);
    state.commandLine.set(setting.name, { value, origins });
    state.config.delete(setting.name);
  }
}

/** Files and folders that set something by being there: mkosi.extra, mkosi.postinst.d/, mkosi.version. */
function readUsualPlaces(directory: string, state: State): void {
  const context = contextOf(directory, state);
  for (const setting of settings) {
    if (setting.scope === "universal" && state.image !== undefined) continue;
    for (const name of setting.files ?? []) {
      const file = resolvePath(directory, name);
      if (state.files.status(file) === undefined) continue;
      const text = setting.readsFile === true ? readValue(file, setting, context, state) : file;
      if (text !== undefined) assignFrom(file, text, setting, context, state);
    }
    for (const { path, suffix = "" } of setting.folders ?? []) {
      const folder = resolvePath(directory, path);
      const names = (state.files.list(folder) ?? []).filter((name) => name.endsWith(suffix));
      for (const name of names.sort(compareText))
        assignFrom(`${folder}/${name}`, `${folder}/${name}`, setting, context, state);
    }
  }
}

function assignFrom(file: string, text: string, setting: SettingDefinition, context: KindContext, state: State): void {
  // A name with a comma is still one name.
  if (setting.kind.shape === "list") {
    assign(
      state.config,
      { ...setting, kind: { ...setting.kind, split: (line: string) => [line] } },
      { text, origins: [{ file }] },
      context,
      state.problems,
    );
  } else {
    assign(state.config, setting, { text, origins: [{ file }] }, context, state.problems);
  }
}

/** The value in a file: what it prints if it is executable, else its text; without the last line end. */
function readValue(file: string, setting: SettingDefinition, context: KindContext, state: State): string | undefined {
  const fail = (code: string, message: string, hint?: string): undefined => {
    state.problems.error({
      file,
      code,
      message: `${setting.name}=: ${message}`,
      ...(hint === undefined ? {} : { hint }),
    });
    return undefined;
  };
  try {
    if (setting.secretFile === true) refuseOpenSecret(file, context);
    if (state.files.status(file)?.executable === true) {
      if (state.files.runText === undefined)
        return fail("file-executable", `${file} is a program and cannot be run here`);
      return withoutLineEnds(state.files.runText(file));
    }
    const text = state.files.readText(file);
    if (text === undefined) return fail("path-unreadable", `cannot read ${file}`);
    if (text.startsWith("#!/")) return fail("file-not-executable", `${file} is a script`, `chmod +x ${file}`);
    return withoutLineEnds(text);
  } catch (error) {
    const known = error instanceof ConfigError;
    return fail(known ? error.code : "file-failed", errorMessage(error), known ? error.hint : undefined);
  }
}

/** Not by a pattern: one for the end of a text tries every place in it. */
function withoutLineEnds(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === "\n") end--;
  return text.slice(0, end);
}

function readDocument(file: string, state: State): IniDocument | undefined {
  if (state.files.status(file) === undefined) return undefined;
  const text = state.files.readText(file);
  if (text === undefined) {
    state.problems.error({ file, code: "path-unreadable", message: "cannot be read" });
    return undefined;
  }
  const document = parseIni(text, file);
  for (const problem of document.errors) state.problems.error(problem);
  return document;
}

function apply(
  document: IniDocument,
  file: string,
  workingDirectory: string,
  state: State,
  depth: number,
  legacy: boolean,
): void {
  // What is not there as a file cannot change.
  if (file.startsWith("/")) state.read.push(file);
  const context = { ...contextOf(workingDirectory, state), legacy };
  for (const section of document.sections) {
    if (conditionSections.includes(section.name)) continue;
    if (!knownSections.includes(section.name)) {
      // X- is for other programs, as in systemd's files.
      if (section.name.startsWith("X-")) continue;
      const near = nearest(section.name, knownSections);
      state.problems.warn({
        file,
        line: section.line,
        code: "section-unknown",
        message: `unknown section [${section.name}]; its settings are ignored`,
        ...(near === undefined ? {} : { hint: `did you mean [${near}]?` }),
      });
      continue;
    }
    for (const entry of section.entries) {
      applyEntry(entry, section.name, file, context, state);
      // What is included takes effect at once: settings further down come after it.
      if (section.name === "Include" || entry.key.endsWith("Include")) readIncludes(workingDirectory, state, depth);
    }
  }
}

function applyEntry(entry: IniEntry, section: string, file: string, context: KindContext, state: State): void {
  const origin = { file, line: entry.line };
  const translated = translate(entry, origin, context.legacy || legacySections.includes(section), state);
  if (translated === undefined) return;
  const [name, text] = translated;
  const setting = findSetting(name);
  if (setting === undefined) {
    const hint = settingHint(name);
    state.problems.warn({
      ...origin,
      code: "setting-unknown",
      message: `unknown setting ${name}=`,
      ...(hint === undefined ? {} : { hint }),
    });
    return;
  }
  if (setting.scope === "universal" && state.image !== undefined) {
    state.problems.error({
      ...origin,
      code: "setting-universal",
      message: `${name}= holds for all images and cannot be set in sub-image ${state.image}`,
      hint: "set it in the project's own mkosi.conf",
    });
    return;
  }
  const legacy = context.legacy || legacySections.includes(section);
  if (section !== setting.section && !legacy)
    state.problems.warn({
      ...origin,
      code: "setting-misplaced",
      message: `${setting.name}= belongs into [${setting.section}], not [${section}]`,
    });
  if (name !== setting.name && !legacy) warnOldName(name, setting.name, origin, state);
  const expanded = expandSpecifiers(text, { ...origin, ...placeOf(file, context.workingDirectory) }, state);
  const assignment: Assignment = { text: expanded, origins: entry.lines.map((line) => ({ file, line })) };
  assign(state.config, setting, assignment, legacy ? { ...context, legacy } : context, state.problems);
}

/** Old settings become today's; undefined where nothing is left to assign. */
function translate(
  entry: IniEntry,
  origin: Origin,
  legacy: boolean,
  state: State,
): readonly [name: string, text: string] | undefined {
  if (entry.key.startsWith("@")) warnOldName(entry.key, entry.key.slice(1), origin, state);
  const name = entry.key.replace(/^@/, "");
  if (!legacy) return [name, entry.value];
  const old = legacySettings.find((setting) => setting.name === name);
  return old === undefined ? [name, entry.value] : old.translate(entry.value);
}

function contextOf(workingDirectory: string, state: State): KindContext {
  return { files: state.files, workingDirectory, environment: state.environment, legacy: false };
}

function placeOf(
  file: string,
  workingDirectory: string,
): { file: string; fileDirectory: string; workingDirectory: string } {
  return { file, fileDirectory: parentPath(file), workingDirectory };
}

function tooDeep(file: string, state: State, depth: number): boolean {
  if (depth <= maximumDepth) return false;
  state.problems.error({
    file,
    code: "config-nested",
    message: `configuration is nested more than ${maximumDepth} deep`,
    hint: "look for a symbolic link that leads back into the configuration",
  });
  return true;
}

/** The resolved profiles. */
function profilesOf(state: State): readonly string[] {
  const value = valueOf("Profiles", state);
  return Array.isArray(value) ? value.filter((name): name is string => typeof name === "string") : [];
}
