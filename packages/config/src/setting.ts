/**
 * The form of one row of the settings table.
 * @module
 */
import type { ConfigFiles } from "./files.ts";
import type { Kind, SettingValue } from "./kind.ts";

export type SectionName =
  | "Include"
  | "Config"
  | "Distribution"
  | "Output"
  | "Partitions"
  | "Content"
  | "Validation"
  | "Build"
  | "Runtime";

/**
 * How a setting of the main image reaches its sub-images: not at all; as the one value of all images;
 * or as a default that a sub-image may override.
 */
export type SettingScope = "local" | "universal" | "inherit";

/** The machine that the build runs on, as far as defaults depend on it. */
export interface HostFacts {
  readonly distribution: string | undefined;
  readonly release: string | undefined;
  /** systemd's architecture name. */
  readonly architecture: string;
  readonly mirror?: string;
  /** systemd's version, for [Match] SystemdVersion=. */
  readonly systemdVersion?: string;
}

/** What a default may depend on. */
export interface DefaultContext {
  readonly host: HostFacts;
  readonly environment: Readonly<Record<string, string>>;
  readonly files: ConfigFiles;
  /** The project directory. */
  readonly directory: string;
  /** Name of the sub-image, undefined for the main image. */
  readonly image: string | undefined;
  /** The resolved value of another setting. */
  readonly value: (name: string) => SettingValue;
}

export interface SettingOption {
  /** Letter of the short option. */
  readonly short?: string;
  /** Long option without dashes; default: the name in kebab-case. */
  readonly long?: string;
  /** What stands for the argument in help texts. Default VALUE. */
  readonly argument?: string;
  /** The argument may be left out. */
  readonly optional?: boolean;
  /** What a left out argument stands for. Default "yes". */
  readonly constant?: string;
  /** The option takes no argument, or none that help texts mention. */
  readonly hidden?: boolean;
  /** Long options of older versions. */
  readonly aliases?: readonly string[];
}

export interface SettingDefinition {
  readonly name: string;
  readonly section: SectionName;
  readonly kind: Kind;
  readonly help: string;
  /** Something in imgtool acts on it. */
  readonly supported: boolean;
  readonly default?: SettingValue | ((context: DefaultContext) => SettingValue);
  readonly scope?: SettingScope;
  /** Makes the setting usable in [Match]: whether the text meets the resolved value. */
  readonly match?: (text: string, value: SettingValue) => boolean;
  /** Letter of its specifier: "d" for %d. */
  readonly specifier?: string;
  /** Files of the project that set it by being there. */
  readonly files?: readonly string[];
  /** The value is the text of that file, not its path. */
  readonly readsFile?: boolean;
  /** The file holds a secret. */
  readonly secretFile?: boolean;
  /** Directories whose files set it, all or those that end in a suffix. */
  readonly folders?: readonly { readonly path: string; readonly suffix?: string }[];
  /** Names of older versions. */
  readonly aliases?: readonly string[];
  readonly option?: SettingOption;
}

/** `ImageVersion` → `image-version`. */
export function optionName(setting: SettingDefinition): string {
  return setting.option?.long ?? setting.name.replace(/(?<=[a-z])(?=[A-Z])/g, "-").toLowerCase();
}

/** A comparison for [Match] of the text's parsed form with the value. */
export function equals(parse: (text: string) => SettingValue): (text: string, value: SettingValue) => boolean {
  return (text, value) => parse(text) === value;
}

/** A [Match] on lists: contains the item; an empty text matches the empty list. */
export function contains(text: string, value: SettingValue): boolean {
  if (!Array.isArray(value)) return false;
  return text === "" ? value.length === 0 : value.includes(text);
}

/** What a row needs besides section, name, kind and help. */
export type SettingDetails = Omit<Partial<SettingDefinition>, "section" | "name" | "kind" | "help">;

/** Makes the rows of one section; a row is unsupported unless it says otherwise. */
export function rowsOf(
  section: SectionName,
): (name: string, kind: Kind, help: string, details?: SettingDetails) => SettingDefinition {
  return (name, kind, help, details = {}) => ({ section, name, kind, help, supported: false, ...details });
}
