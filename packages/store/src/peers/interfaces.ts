/**
 * The addresses at which this machine has neighbours.
 * @module
 */
import { networkInterfaces } from "node:os";

export interface LocalAddress {
  readonly address: string;
  readonly netmask: string;
}

export const multicastAddress = "224.0.0.251";
export const multicastPort = 5353;

/** IPv4 addresses of the machine's interfaces. @param only these addresses, the loopback's as well */
export function localAddresses(only?: readonly string[]): LocalAddress[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal, address }) => family === "IPv4" && (only?.includes(address) ?? !internal))
    .map(({ address, netmask }) => ({ address, netmask }));
}

/** Whether an address is in the network of a local one: RFC 6762 section 11 has answers from others ignored. */
export function isNeighbour(local: LocalAddress, address: string): boolean {
  const mask = numberOf(local.netmask);
  return (numberOf(local.address) & mask) === (numberOf(address) & mask);
}

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => (sum << 8) | Number(part), 0);
}
