/**
 * Package names before they reach a command line.
 * @module
 */
import { ConfigError } from "@imgtool/core";

/**
 * Names go to the command lines of package managers, where a dash would begin an option; commas and
 * spaces separate them in some.
 * @throws ConfigError `package-name-invalid`
 */
export function checkPackageNames(names: readonly string[]): void {
  for (const name of names) {
    if (/^[A-Za-z0-9?~^@/(_][^\s,]*$/.test(name)) continue;
    throw new ConfigError(`not a package name: "${name}"`, {
      code: "package-name-invalid",
      hint: "Packages= takes names like systemd, or name=version",
      data: { package: name },
    });
  }
}
