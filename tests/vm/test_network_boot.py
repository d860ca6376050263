# SPDX-License-Identifier: BSD-3-Clause
"""A guest that boots over the switch, by iPXE, from a Linux guest with default offloads.

Linux leaves the checksums and the cutting of what it serves to its device, and iPXE takes neither:
the switch converts each frame, from the offer of an address on.
"""

from guest import wait_until
from initramfs import extend_initramfs
from network import BOOT_DROPS, TALK_DROPS, check_reasons, rows
from tools import with_libraries

# To load 17 MB and start Linux, which takes 15 s on a quiet machine.
LOGIN_S = 400
# The answers to what iPXE asks for, at the least: an offer, a lease and the script.
ANSWERS = 3


def serve(server, booted):
    """What the guest boots: the kernel by TCP, the rest by UDP."""
    script = '\\n'.join([
        '#!ipxe', f'kernel http://{server.ip}/kernel initrd=initramfs {booted.kernel_words()} '
        'ringway.console=login', 'initrd initramfs', 'boot', ''])
    server.check(f"printf '{script}' >/srv/script")
    server.check('httpd -h /srv')
    server.check('echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip addr add fd00::1/64 dev eth0')
    # No user: a guest has none. Without an IPv6 router iPXE waits for one, 10 s and more, and
    # without option 176 for the offer of another server.
    server.check('dnsmasq --user= --group= --pid-file= --port=0 --interface=eth0 --leasefile-ro '
                 '--enable-ra --dhcp-range=fd00::,ra-only '
                 f'--dhcp-range={booted.ip},{booted.ip} --dhcp-option=encap:175,176,1b '
                 '--dhcp-boot=script --enable-tftp --tftp-root=/srv')


def asks_for_a_name(guest):
    """Whether its first serial port shows the prompt."""
    with open(guest.path('console.log'), encoding='utf-8', errors='replace') as console:
        return f'\n{guest.name} login: ' in console.read()


@rows('firmware', {'seabios': 'seabios'}, {'ovmf': 'ovmf'})
def test_a_guest_boots_by_ipxe(network, firmware, tmp_path):
    kernel, initramfs = network.images
    server_initramfs = str(tmp_path / 'initramfs')
    extend_initramfs(initramfs, server_initramfs, {
        **with_libraries('dnsmasq'), 'srv/kernel': kernel, 'srv/initramfs': initramfs})
    network.images = kernel, server_initramfs
    server, booted = network.start({}, {'firmware': firmware})
    serve(server, booted)
    booted.start(kernel, initramfs)
    booted.wait_monitor()
    wait_until(lambda: asks_for_a_name(booted), LOGIN_S,
               f'{booted.name} does not get to a login prompt')
    taken = network.switch.stats(booted.name)['tx']
    assert taken['converted_csum'] > ANSWERS, taken
    assert taken['segmented'] > 0 and taken['segments'] > taken['segmented'], taken
    # iPXE has room for few frames at a time.
    check_reasons(network.switch.drops(), BOOT_DROPS | TALK_DROPS)
    booted.wait_boot()
    network.wait_port(booted, link=True)
    network.check_port(booted)
    server.ping(booted)
    booted.ping(server)
