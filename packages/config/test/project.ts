// Resolves a project that is written down in a test.
import { resolveConfig } from "../src/index.ts";
import type {
  CommandLineItem,
  ConfiguredImage,
  HostFacts,
  Resolution,
  ResolvedSetting,
  SettingValue,
} from "../src/index.ts";
import { memoryFiles } from "./memory-files.ts";
import type { MemoryFile } from "./memory-files.ts";

export const host: HostFacts = { distribution: "debian", release: "trixie", architecture: "x86-64" };

export interface ProjectOptions {
  /** What configure scripts left. */
  readonly configured?: readonly ConfiguredImage[];
  /** `Packages=vim` for an option. */
  readonly options?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly host?: Partial<HostFacts>;
  readonly runText?: (path: string) => string;
}

/** Files by path below /project, or absolute. */
export function resolveProject(
  entries: Readonly<Record<string, string | MemoryFile>>,
  options: ProjectOptions = {},
): Resolution {
  const absolute = Object.entries(entries).map(([path, entry]) => [
    path.startsWith("/") ? path : `/project/${path}`,
    entry,
  ]);
  return resolveConfig({
    directory: "/project",
    files: memoryFiles(Object.fromEntries([["/project/", ""], ...absolute]), options.runText),
    commandLine: (options.options ?? []).map((text): CommandLineItem => {
      const equals = text.indexOf("=");
      return { setting: text.slice(0, equals), value: text.slice(equals + 1), option: `--${text.slice(0, equals)}` };
    }),
    host: { ...host, ...options.host },
    environment: options.environment ?? {},
    configured: options.configured ?? [],
  });
}

/** The resolved setting of that name. */
export function settingOf(resolution: Resolution, name: string): ResolvedSetting {
  const found = resolution.values.find((value) => value.name === name);
  if (found === undefined) throw new Error(`no setting ${name}`);
  return found;
}

/** Its value. */
export function valueOf(resolution: Resolution, name: string): SettingValue {
  return settingOf(resolution, name).value;
}
