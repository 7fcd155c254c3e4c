/**
 * Entries of GRUB's configuration, grub.cfg: a script in GRUB's own language. Pure.
 * @module
 */

/** What GRUB's programs are called in file names and folders of its own. */
export type GrubPlatform = "pc" | "efi";

export interface GrubEntry {
  readonly title: string;
  /** Where it is shown: the same file serves GRUB under BIOS and under UEFI. */
  readonly platforms: readonly GrubPlatform[];
  /** What is started; paths are absolute on the file system that grub.cfg is on. */
  readonly start:
    | {
        readonly kind: "linux";
        readonly kernel: string;
        readonly initrds: readonly string[];
        /** The kernel's command line, an option each. */
        readonly options: readonly string[];
        readonly devicetree?: string | undefined;
      }
    | { readonly kind: "efi"; readonly program: string };
}

/** The entry's text, to be appended to grub.cfg. */
export function formatGrubEntry({ title, platforms, start }: GrubEntry): string {
  const lines =
    start.kind === "efi"
      ? [`chainloader ${quoted(start.program)}`]
      : [
          `linux ${[start.kernel, ...start.options].map(quoted).join(" ")}`,
          ...(start.initrds.length === 0 ? [] : [`initrd ${start.initrds.map(quoted).join(" ")}`]),
          ...(start.devicetree === undefined ? [] : [`devicetree ${quoted(start.devicetree)}`]),
        ];
  return [
    `if [ ${platforms.map((platform) => `"\${grub_platform}" == "${platform}"`).join(" -o ")} ]; then`,
    `menuentry ${quoted(title)} {`,
    ...lines.map((line) => `    ${line}`),
    "}",
    "fi",
    "",
  ].join("\n");
}

/**
 * A word that GRUB's script reads as it is. One with quotes goes as it was written: GRUB takes them for
 * its own, and puts quotes around a word with spaces for the kernel again.
 */
function quoted(word: string): string {
  if (/['"]/.test(word) || /^[\w./=:,@%+-]+$/.test(word)) return word;
  return `'${word}'`;
}
