/**
 * Decides how an image boots: by firmware, or by its kernel directly, and with which kernel command line.
 * @module
 */
import type { Firmware, RuntimeConfig } from "@imgtool/config";
import { ConfigError } from "@imgtool/core";
import type { RunnableImage } from "./image.ts";
import type { BootOptions } from "./start-machine.ts";

export type BootSettings = Pick<
  RuntimeConfig,
  | "console"
  | "firmware"
  | "firmwareVariables"
  | "initrds"
  | "kernelCommandLine"
  | "kernelCommandLineExtra"
  | "linux"
  | "secureBoot"
  | "secureBootCertificate"
>;

/** The serial console, but for a machine that has a screen. */
const consoleArgument = ({ console }: BootSettings): string => (console === "gui" ? "console=tty0" : "console=ttyS0");

/**
 * How to boot the image.
 * @throws ConfigError `image-not-bootable`, `firmware-variables-unsupported`, `firmware-setting-unused`
 */
export function chooseBoot(settings: BootSettings, image: RunnableImage): BootOptions {
  const firmware = settings.firmware === "auto" ? suitableFirmware(settings, image) : settings.firmware;
  const extra = settings.kernelCommandLineExtra;
  if (firmware === "linux") return linuxBoot(settings, image);
  if (settings.linux !== undefined) {
    throw new ConfigError(`Linux= is given, but Firmware=${firmware} boots the image's own kernel`, {
      code: "firmware-setting-unused",
      hint: "use Firmware=linux, or leave Linux= out",
    });
  }
  if (firmware === "bios") {
    if (extra.length > 0) {
      throw new ConfigError("KernelCommandLineExtra= cannot reach a kernel that a BIOS boot loader starts", {
        code: "firmware-setting-unused",
        hint: "put it into KernelCommandLine= and build again, or use Firmware=uefi",
      });
    }
    return { kind: "bios" };
  }
  return {
    kind: "uefi",
    secureBoot: firmware === "uefi-secure-boot",
    ...(image.kind === "uki" ? { program: image.path } : {}),
    ...variablesOf(settings, firmware),
    kernelCommandLine: extra,
  };
}

function suitableFirmware(settings: BootSettings, image: RunnableImage): Exclude<Firmware, "auto"> {
  if (settings.linux !== undefined || image.kind === "directory") return "linux";
  const types = image.partitions.map(({ type }) => type);
  if (types.includes("esp") || image.kind === "uki") return settings.secureBoot ? "uefi-secure-boot" : "uefi";
  if (types.includes("bios-boot")) return "bios";
  if (image.kernel !== undefined) return "linux";
  throw new ConfigError(
    `the image ${image.path} does not boot: it has no EFI system partition and no BIOS boot loader`,
    {
      code: "image-not-bootable",
      hint: "build it with Bootable=yes, or name a kernel with Linux= (and Initrds=)",
      data: { partitions: types },
    },
  );
}

function linuxBoot(settings: BootSettings, image: RunnableImage): BootOptions {
  const kernel = settings.linux ?? image.kernel;
  if (kernel === undefined) {
    throw new ConfigError(`there is no kernel to boot ${image.path} with`, {
      code: "image-not-bootable",
      hint: "add a kernel to Packages= (on Debian linux-image-cloud-amd64), or name one with Linux=",
    });
  }
  const given = [...settings.kernelCommandLine, ...settings.kernelCommandLineExtra];
  const names = new Set(given.map((argument) => argument.split("=", 1)[0] ?? ""));
  const root = ["root", "roothash", "usrhash", "mount.usr"].some((name) => names.has(name)) ? [] : rootArguments(image);
  return {
    kind: "linux",
    kernel,
    initrds: settings.initrds.length > 0 ? settings.initrds : image.initrds,
    kernelCommandLine: [
      ...root,
      ...(names.has("rw") || names.has("ro") ? [] : ["rw"]),
      ...settings.kernelCommandLine,
      ...(names.has("console") ? [] : [consoleArgument(settings)]),
      ...settings.kernelCommandLineExtra,
    ],
  };
}

/** Where the root file system is: there is no firmware to tell the guest which disk it boots from. */
function rootArguments({ partitions, rootHash }: RunnableImage): string[] {
  const ofType = (pattern: RegExp): string | undefined => partitions.find(({ type }) => pattern.test(type))?.uuid;
  if (rootHash !== undefined)
    return [ofType(/^root.*-verity$/) === undefined ? `usrhash=${rootHash}` : `roothash=${rootHash}`];
  const root = ofType(/^root(?!.*-verity)/);
  if (root !== undefined) return [`root=PARTUUID=${root}`];
  const usr = ofType(/^usr(?!.*-verity)/);
  return usr === undefined ? [] : [`mount.usr=PARTUUID=${usr}`];
}

/** What the machine's firmware knows at its start. */
function variablesOf(
  { firmwareVariables: setting, secureBootCertificate }: BootSettings,
  firmware: "uefi" | "uefi-secure-boot",
): { readonly variables?: string; readonly certificate?: string } {
  if (setting === "microsoft-mok") {
    throw new ConfigError(`FirmwareVariables=${setting} is not supported`, {
      code: "firmware-variables-unsupported",
      hint: "use FirmwareVariables=custom, or name a file with variables",
    });
  }
  if (setting !== "microsoft" && setting !== "custom") return setting === undefined ? {} : { variables: setting };
  if (firmware !== "uefi-secure-boot") {
    throw new ConfigError(`FirmwareVariables=${setting} needs Firmware=uefi-secure-boot`, {
      code: "firmware-setting-unused",
    });
  }
  if (setting === "microsoft") return { variables: "vendor" };
  if (secureBootCertificate === undefined) {
    throw new ConfigError("FirmwareVariables=custom enrolls SecureBootCertificate=, which is not set", {
      code: "firmware-variables-unsupported",
      hint: "make mkosi.key and mkosi.crt with: imgtool genkey",
    });
  }
  return { certificate: secureBootCertificate };
}
