/**
 * Settings of the running system that a project may fix in the image: host name, time zone, locale,
 * root's password; and the image's name and version in os-release(5).
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, type Progress } from "@imgtool/core";
import { saltFromSeed, sha512Crypt } from "../sha512-crypt.ts";
import { linkTreeFile, readTreeFile, writeTreeFile } from "../tree-file.ts";

/**
 * Writes the settings that the configuration has.
 * @throws ConfigError `timezone-unknown`, `root-password-invalid`
 */
export async function applySettings(tree: string, config: ImageConfig, progress: Progress): Promise<void> {
  const { hostname, timezone, locale, rootPassword } = config;
  if (hostname !== undefined) await writeTreeFile(tree, "etc/hostname", `${hostname}\n`);
  if (timezone !== undefined) await setTimezone(tree, timezone, progress);
  if (locale !== undefined) {
    await writeTreeFile(tree, "etc/locale.conf", `LANG=${locale}\n`);
    // Where Debian's systemd looks before release 13.
    if ((await readTreeFile(tree, "etc/debian_version")) !== undefined)
      await linkTreeFile(tree, "etc/default/locale", "../locale.conf");
  }
  if (rootPassword !== undefined) await setRootPassword(tree, config, rootPassword, progress);
}

async function setTimezone(tree: string, timezone: string, progress: Progress): Promise<void> {
  if (!/^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+)*$/.test(timezone)) {
    throw new ConfigError(`not a time zone: "${timezone}"`, {
      code: "timezone-unknown",
      hint: "Timezone= takes names like Europe/Berlin or UTC",
      data: { timezone },
    });
  }
  if ((await readTreeFile(tree, `usr/share/zoneinfo/${timezone}`)) === undefined) {
    progress.log("warning", `the image has no data of the time zone ${timezone}`, "add tzdata to Packages=");
  }
  await linkTreeFile(tree, "etc/localtime", `../usr/share/zoneinfo/${timezone}`);
  if ((await readTreeFile(tree, "etc/timezone")) !== undefined)
    await writeTreeFile(tree, "etc/timezone", `${timezone}\n`);
}

async function setRootPassword(tree: string, config: ImageConfig, password: string, progress: Progress): Promise<void> {
  const hashed = password.startsWith("hashed:") ? password.slice("hashed:".length) : undefined;
  if (/[:\n]/.test(hashed ?? "")) {
    throw new ConfigError("the hash of the root password contains a colon or a line break", {
      code: "root-password-invalid",
      hint: "RootPassword=hashed: takes a hash of crypt(5), as openssl passwd -6 prints it",
    });
  }
  const shadow = await readTreeFile(tree, "etc/shadow");
  if (shadow === undefined || !/^root:/m.test(shadow)) {
    progress.log("warning", "the image has no account root in /etc/shadow: RootPassword= is not applied");
    return;
  }
  const hash = hashed ?? sha512Crypt(password, saltFromSeed(config.seed));
  await writeTreeFile(
    tree,
    "etc/shadow",
    shadow.replace(/^root:[^:]*/m, () => `root:${hash}`),
  );
}

/** Puts IMAGE_ID and IMAGE_VERSION into the image's os-release file. */
export async function writeImageIdentity(tree: string, config: ImageConfig): Promise<void> {
  const fields: [string, string | undefined][] = [
    ["IMAGE_ID", config.imageId],
    ["IMAGE_VERSION", config.imageVersion],
  ];
  for (const path of ["usr/lib/os-release", "etc/os-release"]) {
    const text = await readTreeFile(tree, path);
    if (text === undefined) continue;
    let changed = text;
    for (const [name, value] of fields) {
      if (value === undefined) continue;
      const line = `${name}="${value.replaceAll(/["\\$`]/g, String.raw`\$&`)}"\n`;
      const others = changed.split("\n").filter((found) => found !== "" && !found.startsWith(`${name}=`));
      changed = `${others.join("\n")}${others.length === 0 ? "" : "\n"}${line}`;
    }
    if (changed !== text) await writeTreeFile(tree, path, changed);
  }
}
