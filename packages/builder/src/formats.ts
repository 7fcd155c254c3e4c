/**
 * What the output formats have in common: which of them are disks, and which are taken in by other systems.
 * @module
 */
import type { ExtensionFormat, OutputFormat } from "@imgtool/config";

interface ExtensionForm {
  /** Paths of the tree that are in the image, and of these what is not. */
  readonly copy: readonly string[];
  readonly exclude?: readonly string[];
  /** Where the file is that says what the extension fits, and the prefix of its fields. */
  readonly release?: { readonly folder: string; readonly prefix: string };
}

/**
 * systemd-sysext(8) and portablectl(1): what is in each kind of image. A sysext with an os-release of its
 * own is refused.
 */
export const extensionForms: Readonly<Record<ExtensionFormat, ExtensionForm>> = {
  sysext: {
    copy: ["/usr", "/opt"],
    exclude: ["/usr/lib/os-release"],
    release: { folder: "usr/lib/extension-release.d", prefix: "SYSEXT" },
  },
  confext: { copy: ["/etc"], release: { folder: "etc/extension-release.d", prefix: "CONFEXT" } },
  portable: { copy: ["/"] },
};

export function isExtension(format: OutputFormat): format is ExtensionFormat {
  return Object.hasOwn(extensionForms, format);
}

/** Whether the tree becomes what the kernel unpacks into its memory: a whole system in one unified kernel image. */
export function isWithinKernel(format: OutputFormat): format is "uki" | "esp" {
  return format === "uki" || format === "esp";
}

/** Whether the output is a disk image with a partition table. */
export function isDisk(format: OutputFormat): boolean {
  return format === "disk" || format === "esp" || isExtension(format);
}
