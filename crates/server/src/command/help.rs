//! The reply of `CONTAINER HELP`: one simple string per line.

use super::Call;

/// Answers the help of the called subcommand's container. `lines` are its subcommands, each followed by its
/// indented description.
pub fn reply_help(call: &mut Call<'_>, lines: &[&str]) {
    let container = call.command.container.unwrap_or(call.command.spec.name).to_uppercase();
    call.reply.array(lines.len() + 3);
    call.reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        call.reply.simple(line);
    }
    call.reply.simple("HELP");
    call.reply.simple("    Print this help.");
}
