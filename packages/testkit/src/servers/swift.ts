/**
 * OpenStack Swift with its S3 interface, all of it on loopback: the S3-compatible server of Debian's that
 * takes the least to run. Ceph's radosgw needs a monitor and an object daemon, a gigabyte of packages
 * and half a minute before it answers. Objects are kept in memory (swift.obj.mem_server).
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { temporaryFolder } from "../temporary.ts";
import { freePort } from "./free-port.ts";

export interface SwiftServer {
  /** http://127.0.0.1:port */
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  close(): Promise<void>;
}

const services = ["account", "container", "object"] as const;

export async function startSwift(): Promise<SwiftServer> {
  const folder = temporaryFolder();
  const children: ChildProcess[] = [];
  const close = async (): Promise<void> => {
    for (const child of children) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.kill("SIGKILL")) await ended;
    }
    folder[Symbol.dispose]();
  };
  try {
    mkdirSync(folder.join("devices/d1"), { recursive: true });
    writeFileSync(folder.join("swift.conf"), "[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n");
    const ports = { account: await freePort(), container: await freePort(), object: await freePort() };
    makeRings(folder.path, ports);
    const common = (port: number): string =>
      `[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = ${port}\nworkers = 0\nswift_dir = ${folder.path}\n` +
      `devices = ${folder.join("devices")}\nmount_check = false\nuser = root\nlog_level = ERROR\n`;
    const egg = { account: "egg:swift#account", container: "egg:swift#container", object: "egg:swift#mem_object" };
    for (const service of services) {
      const app = `[pipeline:main]\npipeline = ${service}-server\n[app:${service}-server]\nuse = ${egg[service]}\n`;
      writeFileSync(folder.join(`${service}.conf`), common(ports[service]) + app);
      children.push(start(service, folder.path));
    }
    const port = await freePort();
    writeFileSync(
      folder.join("proxy.conf"),
      `${common(port)}[pipeline:main]\npipeline = catch_errors cache listing_formats s3api tempauth copy slo proxy-server\n` +
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n" +
        "[filter:catch_errors]\nuse = egg:swift#catch_errors\n[filter:cache]\nuse = egg:swift#memcache\n" +
        "memcache_servers = 127.0.0.1:1\n[filter:listing_formats]\nuse = egg:swift#listing_formats\n" +
        "[filter:s3api]\nuse = egg:swift#s3api\ns3_acl = false\n[filter:tempauth]\nuse = egg:swift#tempauth\n" +
        "user_test_tester = testing .admin\n[filter:copy]\nuse = egg:swift#copy\n[filter:slo]\nuse = egg:swift#slo\n",
    );
    children.push(start("proxy", folder.path));
    const endpoint = `http://127.0.0.1:${port}`;
    for (let tries = 0; ; tries++) {
      const answer = await fetch(`${endpoint}/healthcheck`).catch(() => undefined);
      if (answer !== undefined && answer.status < 500) break;
      if (tries === 600) throw new Error("swift does not answer");
      await delay(100);
    }
    return { endpoint, credentials: { accessKeyId: "test:tester", secretAccessKey: "testing" }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function start(service: string, folder: string): ChildProcess {
  return spawn("/usr/bin/python3", [`/usr/bin/swift-${service}-server`, `${folder}/${service}.conf`], {
    stdio: ["ignore", "ignore", process.env["SWIFT_DEBUG"] === undefined ? "ignore" : "inherit"],
    env: { ...process.env, SWIFT_TEST_DIR: folder },
  });
}

/** One device of one zone for each service: what swift-ring-builder does, in one start of Python. */
function makeRings(folder: string, ports: Readonly<Record<(typeof services)[number], number>>): void {
  const program = `
import sys
from swift.common.ring import RingBuilder
for name, port in ${JSON.stringify(Object.entries(ports))}:
    builder = RingBuilder(4, 1, 0)
    builder.add_dev(dict(id=0, region=1, zone=1, ip="127.0.0.1", port=port, device="d1", weight=1,
                         replication_ip="127.0.0.1", replication_port=port, meta=""))
    builder.rebalance()
    builder.get_ring().save("${folder}/%s.ring.gz" % name)
`;
  const made = spawnSync("/usr/bin/python3", ["-c", program], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
}

/** Makes a bucket, with a signature of version 2 (Amazon S3, "Signing and authenticating REST requests"). */
export async function makeBucket({ endpoint, credentials }: SwiftServer, name: string): Promise<void> {
  const date = new Date().toUTCString();
  const text = `PUT\n\n\n${date}\n/${name}`;
  const signature = createHmac("sha1", credentials.secretAccessKey).update(text).digest("base64");
  const headers = { date, authorization: `AWS ${credentials.accessKeyId}:${signature}` };
  const made = await fetch(`${endpoint}/${name}`, { method: "PUT", headers });
  if (!made.ok) throw new Error(`Swift makes no bucket: ${made.status} ${await made.text()}`);
}
