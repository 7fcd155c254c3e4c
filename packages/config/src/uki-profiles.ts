/**
 * The files of UnifiedKernelImageProfiles=: one section [UKIProfile], with what the boot menu shows of a
 * profile and what is added to the kernel's command line.
 * @module
 */
import { errorMessage, splitWords } from "@imgtool/core";
import type { UkiProfileConfig } from "./image-config.ts";
import { parseIni } from "./ini.ts";
import { booleanOf, type SettingValue } from "./kind.ts";
import { pairOf } from "./kinds.ts";
import type { Origin } from "./problem.ts";
import type { State } from "./state.ts";

/** The setting that names the files. */
export const profilesSetting = "UnifiedKernelImageProfiles";

/** The profiles as mkosi's summary has them. */
export function summaryProfiles(profiles: readonly UkiProfileConfig[]): SettingValue[] {
  return profiles.map(({ properties, commandLine, signExpectedPcr }) => ({
    Profile: { ...properties },
    Cmdline: [...commandLine],
    SignExpectedPcr: signExpectedPcr,
  }));
}

/**
 * Reads the profiles in their order. What is wrong in a file becomes an error with its line.
 * @param origins where each path is written: what is no profile is the setting's mistake
 */
export function readUkiProfiles(
  paths: readonly string[],
  origins: readonly Origin[],
  state: State,
): UkiProfileConfig[] {
  const profiles = paths.flatMap((path, index) => {
    const profile = readUkiProfile(path, origins[index] ?? {}, state);
    return profile === undefined ? [] : [{ path, profile }];
  });
  const seen = new Map<string, string>([["main", "the image without a profile"]]);
  for (const { path, profile } of profiles) {
    const id = profile.properties["ID"] ?? "";
    const other = seen.get(id);
    if (other !== undefined)
      state.problems.error({ file: path, code: "profile-invalid", message: `ID=${id} is that of ${other}` });
    seen.set(id, path);
  }
  return profiles.map(({ profile }) => profile);
}

function readUkiProfile(path: string, origin: Origin, state: State): UkiProfileConfig | undefined {
  const fail = (message: string, line?: number, hint?: string): undefined => {
    const place = { file: path, ...(line === undefined ? {} : { line }) };
    state.problems.error({ ...place, code: "profile-invalid", message, ...(hint === undefined ? {} : { hint }) });
  };
  const text = state.files.readText(path);
  const document = text === undefined ? undefined : parseIni(text, path);
  if (document?.sections.some(({ name }) => name === "UKIProfile") !== true) {
    const why = document === undefined ? "cannot be read" : "has no section [UKIProfile]";
    state.problems.error({
      ...origin,
      code: "profile-invalid",
      message: `UnifiedKernelImageProfiles=: ${path} ${why}`,
      hint: "name files with a section [UKIProfile] and Profile=ID=… in it",
    });
    return undefined;
  }
  if (!state.read.includes(path)) state.read.push(path);
  for (const problem of document.errors) state.problems.error(problem);

  let properties: Record<string, string> = {};
  let commandLine: string[] = [];
  let signExpectedPcr = true;
  const entries = document.sections.filter(({ name }) => name === "UKIProfile").flatMap((section) => section.entries);
  for (const { key, value, line } of entries) {
    if (key === "Profile") {
      try {
        const pairs = splitWords(value, "\n ").map((word) => pairOf(word, () => ""));
        properties = value === "" ? {} : { ...properties, ...Object.fromEntries(pairs) };
      } catch (error) {
        fail(`Profile=: ${errorMessage(error)}`, line);
      }
    } else if (key === "Cmdline") {
      commandLine = value === "" ? [] : [...commandLine, ...value.split(/\s+/)];
    } else if (key === "SignExpectedPcr") {
      const read = booleanOf(value);
      if (read === undefined) fail(`SignExpectedPcr=: expected yes or no, found ${JSON.stringify(value)}`, line);
      signExpectedPcr = read ?? true;
    } else fail(`unknown setting ${key}=`, line, "a profile has Profile=, Cmdline= and SignExpectedPcr=");
  }
  if (!/^[A-Za-z0-9._-]+$/.test(properties["ID"] ?? ""))
    return fail(
      `expected an ID of letters, digits, ".", "_" and "-", found ${JSON.stringify(properties["ID"] ?? "")}`,
      entries.find(({ key }) => key === "Profile")?.line,
      "name the profile in [UKIProfile]: Profile=ID=…",
    );
  return { properties, commandLine, signExpectedPcr };
}
