//! The program: hands arguments, environment and standard streams to the library, and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    ExitCode::from(vps_configurator::cli::main(std::env::args_os(), environment.collect()))
}
