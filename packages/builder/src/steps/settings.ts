/**
 * Settings of the running system that a project may fix in the image: host name, time zone, locale,
 * keyboard, root's password and shell, the machine id; and the image's name and version in os-release(5).
 * @module
 */
import { stat } from "node:fs/promises";
import type { ImageConfig } from "@imgtool/config";
import { ConfigError, type Progress } from "@imgtool/core";
import { resolveInTree } from "@imgtool/sandbox";
import { saltFromSeed, sha512Crypt } from "../sha512-crypt.ts";
import { linkTreeFile, readTreeFile, removeTreePath, writeTreeFile } from "../tree-file.ts";

/**
 * Writes the settings that the configuration has.
 * @throws ConfigError `timezone-unknown`, `root-password-invalid`, `root-shell-missing`
 */
export async function applySettings(tree: string, config: ImageConfig, progress: Progress): Promise<void> {
  const { hostname, timezone, locale, localeMessages, keymap, rootPassword, rootShell } = config;
  if (hostname !== undefined) await writeTreeFile(tree, "etc/hostname", `${hostname}\n`);
  if (timezone !== undefined) await setTimezone(tree, timezone, progress);
  if (locale !== undefined || localeMessages !== undefined) {
    const lines = [
      ...(locale === undefined ? [] : [`LANG=${locale}\n`]),
      ...(localeMessages === undefined ? [] : [`LC_MESSAGES=${localeMessages}\n`]),
    ];
    await writeTreeFile(tree, "etc/locale.conf", lines.join(""));
    // Where Debian's systemd looks before release 13.
    if ((await readTreeFile(tree, "etc/debian_version")) !== undefined)
      await linkTreeFile(tree, "etc/default/locale", "../locale.conf");
  }
  if (keymap !== undefined) {
    // A distribution may have a link here, to a file of another form.
    await removeTreePath(tree, "etc/vconsole.conf");
    await writeTreeFile(tree, "etc/vconsole.conf", `KEYMAP=${keymap}\n`);
  }
  if (rootShell !== undefined) await setRootShell(tree, rootShell, progress);
  if (rootPassword !== undefined) await setRootPassword(tree, config, rootPassword, progress);
  await keepForFirstBoot(tree, config);
}

/**
 * The same settings as credentials in the image, from which systemd-firstboot(1) takes them where /etc is made
 * anew: an image that is /usr alone, or a machine that is reset. Those of mkosi, which leaves out the host name.
 */
async function keepForFirstBoot(tree: string, config: ImageConfig): Promise<void> {
  if (config.makeInitrd || (await readTreeFile(tree, "usr/lib/systemd/systemd")) === undefined) return;
  const { rootPassword } = config;
  const credentials: Readonly<Record<string, string | undefined>> = {
    "firstboot.locale": config.locale,
    "firstboot.locale-messages": config.localeMessages,
    "firstboot.keymap": config.keymap,
    "firstboot.timezone": config.timezone,
    "passwd.hashed-password.root": rootPassword === undefined ? undefined : passwordHash(rootPassword, config),
    "passwd.shell.root": config.rootShell,
  };
  for (const [name, value] of Object.entries(credentials)) {
    if (value === undefined) continue;
    await writeTreeFile(tree, `usr/lib/credstore/${name}`, value, name.includes("password") ? 0o600 : 0o644);
  }
}

function passwordHash(password: string, { seed }: ImageConfig): string {
  const prefix = "hashed:";
  return password.startsWith(prefix) ? password.slice(prefix.length) : sha512Crypt(password, saltFromSeed(seed));
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
  const hash = passwordHash(password, config);
  await writeTreeFile(
    tree,
    "etc/shadow",
    shadow.replace(/^root:[^:]*/m, () => `root:${hash}`),
  );
}

/** root cannot log in with a shell that is not there: systemd-firstboot refuses it, too. */
async function setRootShell(tree: string, shell: string, progress: Progress): Promise<void> {
  const found = await stat(await resolveInTree(tree, shell, { followLast: true })).catch(() => undefined);
  const isProgram = found?.isFile() === true && (found.mode & 0o111) !== 0;
  if (!shell.startsWith("/") || /[:\n]/.test(shell) || !isProgram) {
    throw new ConfigError(`RootShell=: the image has no program "${shell}"`, {
      code: "root-shell-missing",
      hint: "name it by its whole path, and the package that brings it in Packages=",
      data: { shell },
    });
  }
  const accounts = await readTreeFile(tree, "etc/passwd");
  if (accounts === undefined || !/^root:/m.test(accounts)) {
    progress.log("warning", "the image has no account root in /etc/passwd: RootShell= is not applied");
    return;
  }
  const changed = accounts.replace(/^(root:(?:[^:\n]*:){5}).*$/m, (_, fields: string) => `${fields}${shell}`);
  await writeTreeFile(tree, "etc/passwd", changed);
}

/** Writes /etc/machine-id in the form of machine-id(5), where the image is to have one. */
export async function setMachineId(tree: string, machineId: string | undefined): Promise<void> {
  if (machineId === undefined) return;
  await removeTreePath(tree, "etc/machine-id");
  await writeTreeFile(tree, "etc/machine-id", machineId.replaceAll("-", ""), 0o444);
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
