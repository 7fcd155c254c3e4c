/**
 * [Content]: packages, trees and scripts, and how the installed system is set up.
 * @module
 */
import { configurationRoot, isFirstProject } from "../first-project.ts";
import { boolean, feature, integer, rootPassword, text, texts, uuid } from "../kinds.ts";
import { path, paths, trees } from "../path-kinds.ts";
import { rowsOf } from "../setting.ts";
import type { SettingDefinition, SettingDetails } from "../setting.ts";

const row = rowsOf("Content");
const supported: SettingDetails = { supported: true };
const switchOption: SettingDetails = { option: { argument: "BOOL", optional: true } };

/** A list of scripts with its files: NAME, NAME.chroot and NAME.d/. */
function scripts(name: string, file: string, option: string, help: string, details: SettingDetails): SettingDefinition {
  return row(name, paths(), help, {
    files: [file],
    folders: [{ path: `${file}.d` }],
    option: { long: option, argument: "PATH" },
    ...details,
  });
}

/** The files of a script that may also run inside the image. */
const alsoInside = (file: string): readonly string[] => [file, `${file}.chroot`];

export const contentSettings: readonly SettingDefinition[] = [
  row("Packages", texts("packages"), "Packages to install", {
    ...supported,
    option: { short: "p", long: "package", argument: "PACKAGE" },
  }),
  row("BuildPackages", texts("packages"), "Packages that are there for the build scripts only", {
    ...supported,
    option: { long: "build-package", argument: "PACKAGE" },
  }),
  row("VolatilePackages", texts("packages"), "Packages to install after the build scripts, never cached", {
    ...supported,
    option: { long: "volatile-package", argument: "PACKAGE" },
  }),
  row("PackageDirectories", paths(), "Folders with package files to install from", {
    ...supported,
    scope: "universal",
    files: ["mkosi.packages"],
    option: { long: "package-directory", argument: "PATH" },
  }),
  row("VolatilePackageDirectories", paths(), "Folders with package files for VolatilePackages=", {
    ...supported,
    scope: "universal",
    option: { long: "volatile-package-directory", argument: "PATH" },
  }),
  row("WithRecommends", boolean, "Install recommended packages too", { ...supported, ...switchOption }),
  row(
    "WithDocs",
    boolean,
    "Keep the documentation of packages; the default is yes, and no for projects that have mkosi.default",
    {
      ...supported,
      // The first mkosi left it out unless it was asked for.
      default: ({ files, directory }) => !isFirstProject(files, configurationRoot(files, directory)),
      ...switchOption,
    },
  ),
  row("BaseTrees", paths({ required: false }), "Trees to build upon instead of an empty one", {
    ...supported,
    option: { long: "base-tree", argument: "PATH" },
  }),
  row("SkeletonTrees", trees({ required: true }), "Trees to copy before packages are installed: SOURCE[:TARGET]", {
    ...supported,
    files: ["mkosi.skeleton", "mkosi.skeleton.tar"],
    option: { long: "skeleton-tree", argument: "PATH" },
  }),
  row("ExtraTrees", trees(), "Trees to copy after packages are installed: SOURCE[:TARGET]", {
    ...supported,
    files: ["mkosi.extra", "mkosi.extra.tar"],
    option: { long: "extra-tree", argument: "PATH" },
  }),
  row("RemovePackages", texts("packages"), "Packages to remove at the end", {
    ...supported,
    option: { long: "remove-package", argument: "PACKAGE" },
  }),
  row("RemoveFiles", texts("patterns"), "Files to remove at the end, as shell patterns", {
    ...supported,
    option: { argument: "GLOB" },
  }),
  row("CleanPackageMetadata", feature, "Remove the package manager's databases: yes, no or auto", {
    ...supported,
    option: { argument: "FEATURE" },
  }),
  row("SourceDateEpoch", integer(0), "Seconds since 1970 that no time stamp of the image exceeds", {
    ...supported,
    scope: "universal",
    default: ({ value, environment }) => {
      const variables = value("Environment");
      const own =
        typeof variables === "object" && variables !== null && "SOURCE_DATE_EPOCH" in variables
          ? variables["SOURCE_DATE_EPOCH"]
          : environment["SOURCE_DATE_EPOCH"];
      return typeof own === "string" && /^\d{1,15}$/.test(own) ? Number(own) : null;
    },
    option: { argument: "SECONDS" },
  }),
  scripts("SyncScripts", "mkosi.sync", "sync-script", "Programs that update the sources, before everything", supported),
  scripts("PrepareScripts", "mkosi.prepare", "prepare-script", "Programs that run after packages are installed", {
    ...supported,
    files: alsoInside("mkosi.prepare"),
    aliases: ["PrepareScript"],
  }),
  scripts("BuildScripts", "mkosi.build", "build-script", "Programs that build the project's own software", {
    ...supported,
    files: alsoInside("mkosi.build"),
    aliases: ["BuildScript"],
  }),
  scripts("PostInstallationScripts", "mkosi.postinst", "postinst-script", "Programs that run after ExtraTrees=", {
    ...supported,
    files: alsoInside("mkosi.postinst"),
    aliases: ["PostInstallationScript"],
  }),
  scripts("FinalizeScripts", "mkosi.finalize", "finalize-script", "Programs that run last, before packing", {
    ...supported,
    files: alsoInside("mkosi.finalize"),
    aliases: ["FinalizeScript"],
  }),
  scripts("PostOutputScripts", "mkosi.postoutput", "postoutput-script", "Programs that run on the outputs", supported),
  row("Locale", text, "Locale of the image", { ...supported }),
  row("LocaleMessages", text, "Locale of messages", { ...supported, option: { argument: "LOCALE" } }),
  row("Keymap", text, "Keyboard layout of the console", { ...supported, option: { argument: "KEYMAP" } }),
  row("Timezone", text, "Time zone of the image", { ...supported, option: { argument: "TIMEZONE" } }),
  row("Hostname", text, "Host name of the image", { ...supported, option: { argument: "HOSTNAME" } }),
  row("RootPassword", rootPassword, "Password of root; after hashed: as a crypt(5) hash", {
    ...supported,
    files: ["mkosi.rootpw"],
    readsFile: true,
    secretFile: true,
    option: { argument: "PASSWORD" },
  }),
  row("RootShell", text, "Shell of root", { ...supported, option: { argument: "SHELL" } }),
  row("MachineId", uuid, "Machine id of the image; default: made at the first boot", {
    ...supported,
    files: ["mkosi.machine-id"],
    readsFile: true,
    option: { argument: "ID" },
  }),
  row("Autologin", boolean, "Log in as root on every console without a password", {
    ...supported,
    option: { short: "a", argument: "BOOL", optional: true },
  }),
  row("MakeInitrd", boolean, "Make the image usable as an initrd", { ...supported, ...switchOption }),
  row("Ssh", boolean, "Set up an SSH server that this machine can reach", { ...supported, ...switchOption }),
  row("SELinuxRelabel", feature, "Label the files for SELinux: yes, no or auto", {
    ...supported,
    option: { argument: "FEATURE" },
  }),
  row("Devicetree", text, "Device tree that the kernel gets in place of the firmware's: VENDOR/BOARD.dtb", supported),
  row("Devicetrees", texts("device trees"), "Device trees to put into unified kernel images", {
    option: { long: "devicetrees", argument: "PATH" },
  }),
  row("Splash", path(), "Picture (BMP) that a unified kernel image shows", {
    ...supported,
    option: { argument: "PATH" },
  }),
];
