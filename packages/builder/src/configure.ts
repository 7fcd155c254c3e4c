/**
 * Configure scripts: programs that get the settings as JSON and print them changed, before anything is
 * done with them.
 * @module
 */
import type { ImageConfig, SettingValue } from "@imgtool/config";
import { FormatError, silentProgress, type Progress } from "@imgtool/core";
import { distributionFor } from "@imgtool/distro";
import { runInSandbox } from "@imgtool/sandbox";

export interface ConfigureOptions {
  readonly config: ImageConfig;
  /** The settings in the form of a summary. */
  readonly settings: Readonly<Record<string, SettingValue>>;
  readonly progress?: Progress;
  readonly signal?: AbortSignal | undefined;
  /** As BuildOptions has it. */
  readonly debug?: boolean;
}

/** More than any configuration has; in characters. */
const maxLength = 16 * 1024 ** 2;

/**
 * Runs the scripts in order, each on what the one before printed. They see the sources, have no network and
 * no tree. @returns the settings that the last one printed
 * @throws FormatError `configure-output-invalid` for output that is no JSON object; what runInSandbox throws
 */
export async function runConfigureScripts(options: ConfigureOptions): Promise<Readonly<Record<string, SettingValue>>> {
  const { config, signal } = options;
  const progress = options.progress ?? silentProgress;
  let { settings } = options;
  for (const script of config.configureScripts) {
    using task = progress.start({ label: "configure" });
    task.detail(script);
    const lines: string[] = [];
    let length = 0;
    await runInSandbox({
      script,
      scriptName: "configure",
      workdir: "/work/src",
      env: environment(config, options.debug === true),
      binds: sourceBinds(config),
      input: JSON.stringify(settings),
      signal,
      onStdoutLine: (line) => {
        length += line.length;
        if (length <= maxLength) lines.push(line);
      },
      onOutputLine: (line) => progress.log("debug", `configure: ${line}`),
    });
    if (length > maxLength) throw invalid(script, `more than ${maxLength} characters`);
    settings = parseSettings(script, lines.join("\n"));
    task.done();
  }
  return settings;
}

function parseSettings(script: string, text: string): Readonly<Record<string, SettingValue>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(script, text.trim() === "" ? "nothing" : text.trim().slice(0, 60), cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(script, JSON.stringify(value).slice(0, 60));
  return value as Readonly<Record<string, SettingValue>>;
}

function invalid(script: string, found: string, cause?: unknown): FormatError {
  return new FormatError(
    `the configure script ${script} must print the settings as a JSON object, and printed ${found}`,
    {
      code: "configure-output-invalid",
      hint: "what it gets on standard input is what it has to print, with its changes; messages go to standard error",
      data: { script, found },
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

function sourceBinds({ buildSources }: ImageConfig): { source: string; target: string }[] {
  return [...buildSources]
    .sort((a, b) => (a.target < b.target ? -1 : 1))
    .map(({ source, target }) => ({ source, target: `/work/src${target === "/" ? "" : target}` }));
}

/** QEMU's names of architectures that differ from systemd's. */
const qemuArchitectures: Readonly<Record<string, string>> = {
  "x86-64": "x86_64",
  x86: "i386",
  arm64: "aarch64",
  "ppc64-le": "ppc64",
  loongarch64: "loongarch64",
};

function environment(config: ImageConfig, debug: boolean): Record<string, string> {
  const { architecture } = config;
  return {
    DISTRIBUTION: config.distribution,
    RELEASE: config.release,
    ARCHITECTURE: architecture,
    QEMU_ARCHITECTURE: qemuArchitectures[architecture] ?? architecture,
    DISTRIBUTION_ARCHITECTURE: distributionFor(config.distribution).architectureName?.(architecture) ?? architecture,
    SRCDIR: "/work/src",
    MKOSI_UID: String(process.getuid?.() ?? 0),
    MKOSI_GID: String(process.getgid?.() ?? 0),
    MKOSI_DEBUG: debug ? "1" : "0",
    ...(config.profiles.length === 0 ? {} : { PROFILES: config.profiles.join(" ") }),
    ...config.environment,
  };
}
