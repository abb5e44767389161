//! The engine on a tree with a host that fails or dies at a chosen effect.

use crate::support::listing::Listing;
use crate::support::tree::Tree;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use vps_configurator::cli::debris::sweep;
use vps_configurator::engine::apply::{self, Report};
use vps_configurator::engine::graph::Order;
use vps_configurator::engine::plan::Plan;
use vps_configurator::engine::recover::{Direction, is_needed, recover};
use vps_configurator::engine::rollback::{RollbackReport, Target, roll_back};
use vps_configurator::engine::{Node, Policy, Silent, Works, debts};
use vps_configurator::host::fake::{FakeHost, Fault};
use vps_configurator::journal::{Begin, Journal, TransactionKind, TransactionRow, TransactionState};
use vps_configurator::modules::catalogue::Catalogue;
use vps_configurator::modules::expand::expand;
use vps_configurator::modules::facts::Facts;
use vps_configurator::profiles::check;
use vps_configurator::profiles::input::Inputs;
use vps_configurator::resources::access::AccessRules;
use vps_configurator::resources::assembly::{Assembly, assemble};
use vps_configurator::resources::package::{self, Healing, LOCK_WAIT};
use vps_configurator::resources::{Units, undoers};

/// A tree, the modules that are put on it, and how it was before.
pub struct Bench {
    pub tree: Tree,
    pub before: Listing,
    modules: &'static [&'static str],
}

impl Bench {
    /// A fresh host.
    pub fn new(modules: &'static [&'static str]) -> Bench {
        let tree = Tree::new();
        // A file of the administrator's that is replaced, and a unit of ours that needs no package.
        tree.put("/etc/issue", "theirs\n");
        tree.module("own", OWN);
        let before = tree.listing();
        Bench { tree, before, modules }
    }

    /// A host that works.
    pub fn host(&self) -> FakeHost {
        FakeHost::new(self.tree.root().to_owned())
    }

    /// A host that fails or dies at an effect.
    pub fn faulty(&self, number: u64, fault: Fault) -> FakeHost {
        FakeHost::with_fault(self.tree.root().to_owned(), number, fault)
    }

    /// The journal.
    pub fn journal(&self) -> Journal {
        Journal::open(&self.tree.at("/var/lib/vps-configurator")).unwrap()
    }

    fn nodes(&self) -> Vec<Node> {
        let host = self.host();
        let share = Path::new("/usr/share/vps-configurator/modules");
        let catalogue = Catalogue::load(&host, share, Path::new("/etc/vps-configurator/modules.d")).unwrap();
        let mut inputs = Inputs::load(&host).unwrap();
        inputs.profile = Some("small".into());
        inputs.sets = self.modules.iter().map(|name| format!("modules.{name}.enabled=true")).collect();
        inputs.only = self.modules.iter().map(|name| (*name).to_owned()).collect();
        let configuration = check(&catalogue, &inputs).unwrap();
        let facts = Facts { architecture: "amd64".into(), hostname: "vps".into(), ..Facts::default() };
        let order = configuration.order();
        let expansion = expand(&catalogue, &order, &configuration.option_values(), &facts).unwrap();
        assemble(
            &expansion.specs,
            &Assembly {
                keep_open: Vec::new(),
                lock_wait: configuration.settings.lock_wait,
                access: AccessRules::default(),
            },
        )
        .unwrap()
        .nodes
    }

    fn with<T>(&self, host: &FakeHost, act: impl FnOnce(&Works<'_>) -> T) -> T {
        let (journal, undoers) = (self.journal(), undoers());
        act(&Works { host, journal: &journal, progress: &Silent, undoers: &undoers, services: &Units })
    }

    /// Whether nothing is left to do.
    pub fn is_installed(&self) -> bool {
        let nodes = self.nodes();
        Plan::make(&nodes, &Order::of(&nodes).unwrap(), &self.host()).unwrap().is_empty()
    }

    /// Installs; goes on with a transaction that was cut off.
    pub fn install(&self, host: &FakeHost, resumed: Option<TransactionRow>) -> Option<Report> {
        let nodes = self.nodes();
        let order = Order::of(&nodes).unwrap();
        let plan = Plan::make(&nodes, &order, &self.host()).unwrap();
        self.with(host, |works| {
            if plan.is_empty() {
                let unpaid = debts::pay(works).unwrap();
                assert!(unpaid.is_empty(), "{unpaid:?}");
                if let Some(row) = resumed {
                    works.journal.set_transaction(row.id, TransactionState::Done, Some(works.now()), None).unwrap();
                }
                return None;
            }
            let tx = resumed.map_or_else(
                || {
                    let begin = Begin {
                        kind: TransactionKind::Install,
                        undoes: vec![],
                        request: json!({}),
                        plan: serde_json::to_value(&plan).unwrap(),
                        actor: Value::Null,
                        now: works.now(),
                    };
                    works.journal.begin(&begin).unwrap()
                },
                |row| row.id,
            );
            let policy = Policy { workers: 1, ..Policy::default() };
            Some(apply::apply(works, nodes, &order, &plan, tx, &policy, &Value::Null).unwrap())
        })
    }

    /// What every command does that changes something, once it holds the lock.
    fn prepare(works: &Works<'_>) {
        sweep(works.host);
        if is_needed(works).unwrap() {
            package::adopt(works.host, works.progress).unwrap();
            package::release_guard(works.host).unwrap();
            let healing = Healing { lock_wait: LOCK_WAIT, holds_services: true };
            package::heal(works.host, works.progress, healing).unwrap();
        }
    }

    /// What `vps-configurator recover` does.
    pub fn recover(&self, host: &FakeHost, direction: Direction) {
        let resumed = self.with(host, |works| {
            Bench::prepare(works);
            let recovery = recover(works, direction, &Value::Null).unwrap();
            debts::pay(works).unwrap();
            recovery.to_finish
        });
        if let Some(row) = resumed {
            self.install(host, Some(row));
        }
    }

    /// What `vps-configurator rollback --to 0` does.
    pub fn roll_back(&self, host: &FakeHost) -> RollbackReport {
        self.with(host, |works| {
            Bench::prepare(works);
            recover(works, Direction::Leave, &Value::Null).unwrap();
            roll_back(works, &Target::To(vps_configurator::base::ids::TransactionId(0)), &Value::Null).unwrap()
        })
    }

    /// Everything is as it was before, and the journal says so.
    pub fn must_be_back(&self, when: &str) {
        self.tree.must_be(&self.before, when);
        let journal = self.journal();
        assert!(journal.standing().unwrap().is_empty(), "{when}: steps stand");
        let running = |row: &TransactionRow| row.state == TransactionState::Running;
        assert!(!journal.transactions().unwrap().iter().any(running), "{when}: a transaction is under way");
        assert!(journal.owed().unwrap().is_empty(), "{when}: {:?} is owed", journal.owed().unwrap());
    }
}

/// Whether the host died in `act`. Its death unwinds; anything else that panics is a failure.
pub fn dies(host: &FakeHost, act: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(()) => false,
        Err(_) if host.is_dead() => true,
        Err(why) => std::panic::resume_unwind(why),
    }
}

const OWN: &str = "resources:\n  - file: /etc/systemd/system/own.service\n    content: \"[Install]\\nWantedBy=multi-user.target\\n\"\n\
    \x20   notify: [daemon-reload]\n  - file: /etc/own.conf\n    content: \"own\\n\"\n    notify: [restart own.service]\n\
    \x20 - unit: own.service\n    enabled: true\n    active: true\n    needs: [\"file:/etc/systemd/system/own.service\"]\n";
