/**
 * [Include] and [Config]: what else is read, and for which images.
 * @module
 */
import { builtinConfigurations } from "../builtin-configurations.ts";
import { list } from "../kind.ts";
import { fileNameOf, minimumVersion, texts } from "../kinds.ts";
import { pathOf, paths } from "../path-kinds.ts";
import { contains } from "../setting.ts";
import type { SettingDefinition } from "../setting.ts";

/** Configurations of mkosi's that there is none of here. */
export const unsupportedConfigurations: readonly string[] = ["mkosi-obs"];

export const configSettings: readonly SettingDefinition[] = [
  {
    name: "Include",
    section: "Include",
    kind: list(
      "paths",
      (value, context) =>
        pathOf(value, context, { words: [...Object.keys(builtinConfigurations), ...unsupportedConfigurations] }),
      {
        keepsOnEmpty: true,
      },
    ),
    help: "Read another configuration file or directory at this place; each is read once",
    supported: true,
    option: { short: "I", argument: "PATH" },
  },
  {
    name: "Profiles",
    section: "Config",
    kind: list("profile names", (value) => fileNameOf(value, "name a profile, not the path of its file")),
    help: "Profiles of mkosi.profiles/ to read after everything else",
    supported: true,
    scope: "universal",
    match: contains,
    aliases: ["Profile"],
    option: { long: "profile", argument: "NAME" },
  },
  {
    name: "Dependencies",
    section: "Config",
    kind: texts("image names"),
    help: "Sub-images to build before this image",
    supported: true,
    option: { long: "dependency", argument: "IMAGE" },
  },
  {
    name: "MinimumVersion",
    section: "Config",
    kind: minimumVersion,
    help: "Oldest version of mkosi whose behaviour the project relies on",
    supported: true,
    option: { argument: "VERSION" },
  },
  {
    name: "ConfigureScripts",
    section: "Config",
    kind: paths(),
    help: "Programs that read the configuration as JSON and print a changed one",
    supported: true,
    files: ["mkosi.configure"],
    folders: [{ path: "mkosi.configure.d" }],
    option: { long: "configure-script", argument: "PATH" },
  },
  {
    name: "PassEnvironment",
    section: "Config",
    kind: texts("variable names", { separator: " " }),
    help: "Variables of Environment= that sub-images get too",
    supported: true,
    option: { argument: "NAME" },
  },
];
