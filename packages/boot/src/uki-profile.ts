/**
 * The section `.profile`: what a unified kernel image says of one of the ways in which it can be booted
 * (the UAPI Group's UKI specification, "Multi-Profile UKIs"). Text in the form of os-release(5).
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface UkiProfile {
  /** `ID` names the profile; `TITLE` is what the boot menu shows. */
  readonly properties: Readonly<Record<string, string>>;
  /** The whole command line of the profile; without one the image's own stands. */
  readonly commandLine?: string;
  /** Whether the profile's expected measurements are signed, when the image's are. Default true. */
  readonly signExpectedPcr?: boolean;
}

/** What the image is without any of its further profiles, as ukify has it. */
export const mainProfile = "ID=main";

/**
 * The text of a profile's properties.
 * @throws ConfigError `profile-invalid` for one without a usable ID, or for two lines in a value
 */
export function formatProfile(properties: Readonly<Record<string, string>>): string {
  const id = properties["ID"] ?? "";
  if (!/^[A-Za-z0-9._-]+$/.test(id))
    throw new ConfigError(
      `a profile's ID consists of letters, digits, ".", "_" and "-": found ${JSON.stringify(properties["ID"])}`,
      { code: "profile-invalid", hint: "name the profile: Profile=ID=…", data: { id } },
    );
  return Object.entries(properties)
    .map(([name, value]) => {
      if (!/^[A-Z][A-Z0-9_]*$/.test(name) || /[\n\r\0]/.test(value))
        throw new ConfigError(
          `the profile ${id}: expected NAME=VALUE in one line, found ${JSON.stringify(`${name}=${value}`)}`,
          { code: "profile-invalid", data: { id, name, value } },
        );
      return `${name}=${/^[\p{L}\p{N}]*$/u.test(value) ? value : `"${value.replaceAll(/[\\"$`]/g, "\\$&")}"`}\n`;
    })
    .join("");
}
