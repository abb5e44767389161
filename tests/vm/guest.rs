//! A running guest: qemu in the station, on a disk of its own.

use crate::agent::Agent;
use crate::harness::{Output, Shell, Snapshot, Trouble};
use crate::image::{Image, TOOLS};
use crate::station::{FOLDER, Station};
use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The unit in the station.
const UNIT: &str = "guest.service";

/// qemu's ports in the station.
const AGENT: u16 = 4000;
const SSH: u16 = 4022;

/// Longer than any boot, with a recovery in it, on a machine that has other things to do.
const BOOT: Duration = Duration::from_secs(4 * 3600);

/// The disk of the guest that runs: only one does.
const LAYER: &str = "layer.qcow2";

pub struct Guest<'a> {
    station: &'a Station,
    image: &'a Image,
    /// The file and its format.
    disk: (String, &'static str),
    switched_on: Instant,
    agent: RefCell<Agent>,
}

impl<'a> Guest<'a> {
    /// A fresh guest, up and running.
    pub fn boot(station: &'a Station, image: &'a Image) -> Self {
        station.ok(&format!(
            "cd {FOLDER} && rm -f {LAYER} && qemu-img create -q -f qcow2 -b {} -F raw {LAYER}",
            image.name
        ));
        let mut guest = Self::over(station, image, (LAYER.to_owned(), "qcow2"));
        guest.power_on();
        guest.wait_until_up();
        guest
    }

    /// On the image itself, which keeps what it does.
    pub fn on_image(station: &'a Station, image: &'a Image) -> Result<Self, Trouble> {
        let mut guest = Self::over(station, image, (image.name.clone(), "raw"));
        guest.power_on();
        guest.wait_until_up();
        Ok(guest)
    }

    fn over(station: &'a Station, image: &'a Image, disk: (String, &'static str)) -> Self {
        let agent = RefCell::new(Agent::at(SocketAddr::from((station.address(), AGENT))));
        Guest { station, image, disk, switched_on: Instant::now(), agent }
    }

    /// Returns when the guest's agent answers, which is long before the end of the boot.
    pub fn power_on(&mut self) {
        self.station.sh(&format!("systemctl stop {UNIT}; systemctl reset-failed {UNIT}"));
        let (file, format) = &self.disk;
        let name = &self.image.name;
        // Its clock goes on over a power cut, as a real one does.
        let clock = self.image.born + self.switched_on.elapsed().as_secs() as i64;
        let clock = jiff::Timestamp::from_second(clock).expect("a clock of this century").strftime("%Y-%m-%dT%H:%M:%S");
        // eatmydata: what qemu wrote outlives qemu without being synced to the disk of this machine, and that takes long.
        self.station.ok(&format!(
            "systemd-run --quiet --collect --unit={UNIT} --working-directory={FOLDER} eatmydata qemu-system-x86_64 \
             -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -display none -no-user-config \
             -rtc base={clock} -kernel {name}-kernel -initrd {name}-initrd \
             -append 'root=/dev/vda rw console=ttyS0 panic=-1' \
             -drive file={file},format={format},if=virtio,cache=writeback \
             -drive file=tools.img,format=raw,if=virtio,readonly=on \
             -nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{SSH}-:22 \
             -serial file:console.log -device virtio-serial-pci \
             -chardev socket,id=agent,host=0.0.0.0,port={AGENT},server=on,wait=off \
             -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0"
        ));
        self.agent.replace(Agent::at(SocketAddr::from((self.station.address(), AGENT))));
        if let Err(why) = self.agent.borrow_mut().wait(BOOT) {
            panic!("{why}; the end of its console:\n{}", self.console());
        }
    }

    /// Until the boot is over, recovery included.
    pub fn wait_until_up(&self) {
        let state = self.run_for(BOOT, "systemctl is-system-running --wait");
        let failed = self.sh("systemctl list-units --failed --plain --no-legend").stdout;
        assert!(
            state.stdout.trim() == "running" && failed.is_empty(),
            "the guest is {}; failed: {failed}\n{}",
            state.stdout.trim(),
            self.sh("for unit in $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1); do \
                     systemctl status --no-pager -n 40 $unit; done; systemctl list-jobs --no-pager")
                .stdout
        );
    }

    /// An orderly end; the disk keeps everything.
    pub fn shut_down(self) {
        self.depart("poweroff");
        self.station
            .ok(&format!("for i in $(seq 6000); do systemctl is-active -q {UNIT} || exit 0; sleep 0.1; done; exit 1"));
    }

    /// As an administrator asks for it.
    pub fn reboot(&mut self) {
        const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self.sh(BOOT_ID).stdout;
        self.depart("reboot");
        let end = Instant::now() + BOOT;
        // The agent goes before the machine does, and an answer may be lost on the way.
        while !self.try_run(BOOT, BOOT_ID).is_ok_and(|now| now.success() && now.stdout != before) {
            assert!(Instant::now() < end, "the guest doesn't reboot:\n{}", self.console());
            std::thread::sleep(Duration::from_secs(1));
        }
        self.wait_until_up();
    }

    /// Asked for as a job of its own: the answer would be lost in the shutdown.
    fn depart(&self, how: &str) {
        let soon = "--on-active=1s --timer-property=AccuracySec=100ms";
        self.ok(&format!("systemd-run --quiet {soon} systemctl {how}"));
    }

    /// Whether a login by SSH works, with the key of the disk.
    pub fn login(&self) -> Output {
        self.station.sh(&format!(
            "ssh -i {FOLDER}/ssh-key -p {SSH} -o BatchMode=yes -o ConnectTimeout=60 -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null root@127.0.0.1 'echo \"in as $(id -un)\"'"
        ))
    }

    /// Its state as `tests/box` has it, and what lies on the disk beyond that (`inside`).
    pub fn snapshot(&self) -> Snapshot {
        let script = format!(
            "sync; mkdir -p {TOOLS} && {{ mountpoint -q {TOOLS} || mount -o ro /dev/vdb {TOOLS}; }} && \
             PATH={TOOLS}/bin:$PATH exec inside snapshot"
        );
        let output = self.run_for(Duration::from_secs(3600), &script);
        assert!(output.success(), "in the guest: {}", output.stderr);
        serde_json::from_str(&output.stdout).expect("a snapshot is JSON")
    }

    pub fn run_for(&self, limit: Duration, script: &str) -> Output {
        self.try_run(limit, script)
            .unwrap_or_else(|why| panic!("{why}, running\n{script}\nconsole:\n{}", self.console()))
    }

    /// For a guest that may be going down.
    pub fn try_run(&self, limit: Duration, script: &str) -> Result<Output, Trouble> {
        let process = self.agent.borrow_mut().begin(script)?;
        let end = Instant::now() + limit;
        let mut pause = Duration::from_millis(50);
        loop {
            if let Some(output) = self.agent.borrow_mut().ended(process)? {
                return Ok(output);
            }
            if Instant::now() > end {
                return Err(format!("not done after {} s", limit.as_secs()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn console(&self) -> String {
        let text = fs::read(self.station.folder().join("console.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Shell for Guest<'_> {
    fn sh(&self, script: &str) -> Output {
        self.run_for(Duration::from_secs(2 * 3600), script)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.station.sh(&format!("systemctl kill --signal=KILL {UNIT}"));
        if std::thread::panicking() && std::env::var_os("VPS_BOX_KEEP").is_some() {
            eprintln!("vm: its disk is kept: {}", self.station.folder().join(LAYER).display());
        } else {
            let _ = fs::remove_file(self.station.folder().join(LAYER));
        }
    }
}
