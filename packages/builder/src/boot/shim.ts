/**
 * Shim: the program that firmware starts where it trusts Microsoft's or a distribution's key alone, and
 * that starts the boot loader when it is signed with a key that the machine's owner has enrolled.
 * @module
 */
import { basename } from "node:path";
import { signPeFile } from "@imgtool/boot";
import type { Signer } from "@imgtool/cms";
import type { ImageConfig } from "@imgtool/config";
import { findFirst } from "./find-first.ts";
import { placeFile } from "./place-file.ts";

export interface ShimPlan {
  /** Paths on this machine of shim, and of the program that enrolls keys. */
  readonly shim: string;
  readonly manager: string;
  /** Whether they are to be signed: those that are signed have a signature that others trust. */
  readonly unsigned: boolean;
  /** What shim starts: a path on the EFI system partition. */
  readonly secondStage: string;
}

/** Where distributions have the programs: Debian and Ubuntu, Fedora's family, openSUSE, Arch. */
function places(name: "shim" | "mm", efi: string, signed: boolean): string[] {
  if (!signed)
    return [
      `usr/lib/shim/${name}${efi}.efi`,
      `usr/share/shim/*/*/${name}${efi}.efi`,
      `usr/share/shim/${name}${efi}.efi`,
    ];
  return [
    ...(name === "shim" ? [`usr/lib/shim/shim${efi}.efi.signed.latest`] : []),
    `usr/lib/shim/${name}${efi}.efi.signed`,
    // Ubuntu's has no suffix.
    ...(name === "mm" ? [`usr/lib/shim/mm${efi}.efi`] : []),
    `boot/efi/EFI/*/${name}${efi}.efi`,
    name === "shim" ? "usr/share/efi/*/shim.efi" : "usr/share/efi/*/MokManager.efi",
  ];
}

/** The programs as ShimBootloader= asks for them; undefined where the tree lacks one. */
export async function findShim(config: ImageConfig, tree: string, efi: string): Promise<ShimPlan | undefined> {
  const unsigned = config.shimBootloader === "unsigned";
  const [shim, manager] = await Promise.all(
    (["shim", "mm"] as const).map(async (name) => await findFirst(tree, places(name, efi, !unsigned))),
  );
  if (shim === undefined || manager === undefined) return undefined;
  const secondStage = `/EFI/BOOT/grub${config.distribution === "opensuse" ? ".EFI" : `${efi}.efi`}`;
  return { shim, manager, unsigned, secondStage };
}

/** Puts shim where firmware looks, and beside it the program that shim starts to enroll keys. */
export async function installShim(
  tree: string,
  { shim, manager, unsigned }: ShimPlan,
  defaultPath: string,
  signer: Signer | undefined,
): Promise<void> {
  // Shim knows it by the name that it has without what a distribution says of its signature.
  const name = basename(manager).replace(/\.signed$/, "");
  for (const [source, path] of [
    [shim, defaultPath],
    [manager, `/EFI/BOOT/${name}`],
  ] as const) {
    const placed = await placeFile(source, tree, `efi${path}`);
    if (unsigned && signer !== undefined) await signPeFile(placed, { signer });
  }
}
