/**
 * SBAT, the generations of a boot chain's parts by which firmware and shim revoke old ones: shim's
 * SBAT.md. A CSV text in a PE section.
 * @module
 */
import { FormatError } from "@imgtool/core";

const head = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";

/** The line that every unified kernel image has, so that all of them could be revoked. */
export const ukiSbat: string = `${head}\nuki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n`;

/** The line that every addon has. */
export const addonSbat: string = `${head}\nuki-addon,1,UKI Addon,addon,1,https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html\n`;

/**
 * Joins SBAT texts: the head once, then the entries of each in order, as ukify does. Ends in a NUL.
 * @throws FormatError `sbat-invalid` for a text that does not begin with the head's field `sbat`
 */
export function mergeSbat(texts: readonly string[]): Uint8Array {
  const entries = texts.flatMap((text) => {
    const lines = text.replace(/\0+$/, "").trimEnd().split(/\r?\n/);
    if (lines[0]?.startsWith("sbat,") !== true)
      throw new FormatError(`not an SBAT text: expected "sbat," at its start, found ${JSON.stringify(lines[0])}`, {
        code: "sbat-invalid",
      });
    return lines.slice(1);
  });
  return new TextEncoder().encode(`${[head, ...entries].join("\n")}\n\0`);
}
