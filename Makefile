# Everything that this project does, as targets. `make help` lists them. What a target needs it installs first, and
# says so (debian/need); it works on a fresh Debian 12 or 13.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# Where the repository will be served: written into vps-configurator-apt-source and quick-install.sh.
REPO_URL ?= https://packages.vps-configurator.org/debian
# A release signs with its own key (a folder as debian/make-key leaves it); everything else with one made here, once.
KEYS := $(or $(VPS_SIGNING_KEY),target/keys)
# Debian's version of the packages: the newest entry of the changelog.
VERSION = $(shell sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
# Dates in packages are those of the changelog, so that two builds of one source are the same bytes.
EPOCH = $(shell date -u -d "$$(sed -n 's/^ -- .*>  //p' debian/changelog | head -n 1)" +%s)
# Packages of earlier versions that the repository shall offer, too, so that a host can go back to them.
OLDER_DEBS ?=
NEED := debian/need
GENERATED := target/generated
UNITS := $(wildcard systemd/*.service systemd/*.timer)
SCRIPTS := .ci/run docs/quick-install.sh $(addprefix debian/,need make-key make-repo older-packages finish-deb tests/smoke tests/service) tests/box/with-packages \
	$(addprefix debian/vps-configurator.,config postinst prerm postrm)
# Debian 12's lintian still asks for init.d scripts. Asked by the shell: make expands a recipe before its first line has
# installed lintian.
LINTIAN_12 := $$(lintian --version | grep -q 'v2\.11[0-6]' && echo --suppress-tags package-supports-alternative-init-but-no-init.d-script)

.PHONY: help build reference test demo debs repo lint bench box vm clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

build: ## the program: target/release/vps-configurator
	@$(NEED) cargo
	cargo build --release --locked

debs: build ## the Debian packages: target/debian/*.deb
	@$(NEED) cargo-deb dpkg-deb dpkg-shlibdeps gpg xz
	@debian/make-key $(KEYS)
	rm -rf $(GENERATED) target/debian
	@# The schema is of the modules in config/, wherever they will lie.
	mkdir -p $(GENERATED)/root/usr/share && cp -r config $(GENERATED)/root/usr/share/vps-configurator
	for what in man completion schema; do \
		target/release/vps-configurator --root $(GENERATED)/root internal generate $$what $(GENERATED)/$$what || exit 1; \
	done
	cp $(KEYS)/vps-configurator.pgp $(GENERATED)/
	sed 's|^URIs: .*|URIs: $(REPO_URL)|' etc/apt/sources.list.d/vps-configurator.sources > $(GENERATED)/vps-configurator.sources
	for package in vps-configurator vps-configurator-apt-source; do \
		SOURCE_DATE_EPOCH=$(EPOCH) target/tools/bin/cargo-deb -p $$package --no-build --locked --dbgsym \
			--deb-version $(VERSION) --output target/debian/ || exit 1; \
	done
	SOURCE_DATE_EPOCH=$(EPOCH) debian/finish-deb target/debian/*.deb

repo: debs ## a signed APT repository with the packages, to serve as it is: target/repo
	@$(NEED) apt-ftparchive gpg xz
	rm -rf target/repo
	debian/make-repo target/repo $(KEYS) target/debian/*.deb $(OLDER_DEBS)
	sed -e 's|@REPO_URL@|$(REPO_URL)|' -e "s|@FINGERPRINT@|$$(cat $(KEYS)/fingerprint)|" docs/quick-install.sh > target/repo/quick-install.sh
	chmod 0755 target/repo/quick-install.sh
	sed -e 's|@REPO_URL@|$(REPO_URL)|' -e "s|@KEY@|$$(base64 -w 0 $(KEYS)/vps-configurator.pgp)|" docs/cloud-init.yaml > target/repo/cloud-init.yaml

reference: ## regenerates docs/reference from the program and config/ (manifest.md and errors.md are written by hand)
	@$(NEED) cargo
	cargo build --locked
	@# The modules in config/, where the package would put them.
	mkdir -p $(GENERATED)/root/usr/share && rm -rf $(GENERATED)/root/usr/share/vps-configurator
	cp -r config $(GENERATED)/root/usr/share/vps-configurator
	rm -rf docs/reference/modules
	target/debug/vps-configurator --root $(GENERATED)/root internal generate reference docs/reference

lint: debs ## format, clippy, shell scripts, units, lintian
	@$(NEED) cargo-fmt cargo-clippy lintian shellcheck systemd-analyze
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --test fuzz --test vm --test performance -- -D warnings
	shellcheck --exclude SC1091 $(SCRIPTS)
	@# systemd-analyze wants programs to exist: the one just built stands in for the installed one. The instance of a timer
	@# is a number of seconds.
	rm -rf target/units && mkdir -p target/units
	for unit in $(UNITS); do \
		sed 's|/usr/sbin/vps-configurator|$(CURDIR)/target/release/vps-configurator|' $$unit > target/units/$$(basename $$unit | sed 's/@\.timer$$/@300.timer/') || exit 1; \
	done
	systemd-analyze verify --man=no target/units/*
	systemd-analyze security --offline=true --threshold=20 target/units/vps-configurator-alert@.service > /dev/null
	systemd-analyze security --offline=true --threshold=20 target/units/vps-configurator-inhibit.service > /dev/null
	systemd-analyze security --offline=true --threshold=60 target/units/vps-configurator-drift.service > /dev/null
	lintian --allow-root --display-info --pedantic --fail-on error,warning,info,pedantic $(LINTIAN_12) target/debian/*.deb

test: ## every suite but the slow ones: unit, cli, golden, architecture, compat, crash, box
	@$(NEED) cargo
	@# The end of a release build has work for one processor: the suites are built beside it.
	cargo test --locked --workspace --no-run --quiet & suites=$$!; $(MAKE) repo lint; made=$$?; wait $$suites && exit $$made
	cargo test --locked --workspace

box: repo ## boots a Debian 13 box with the package installed from the signed repository; a shell in it
	tests/box/with-packages box shell

demo: repo ## build, sign, boot a box, apt install, apply the profile beginner, show the report
	tests/box/with-packages demo report

vm: repo ## reboots of a virtual machine with the packages (an hour)
	cargo test --locked --test vm -- --nocapture

bench: build ## performance ratios, in one run
	cargo test --locked --test performance

clean: ## removes what was built; keeps the signing key and the tools
	find target -mindepth 1 -maxdepth 1 ! -name keys ! -name tools -exec rm -rf {} +
