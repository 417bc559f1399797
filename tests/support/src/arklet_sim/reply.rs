//! The JSON that a real agent was seen to send, word for word where a client could come to depend on it.
//!
//! Keys stand in alphabetical order and absent values are left out, as there.

use serde_json::{Value, json};

use super::config::{BaseConfig, Style};
use super::record::Command;
use super::state::Biz;

/// Frames between two causes of a trace: real traces are 4 to 10 kB.
const FRAMES: usize = 24;

/// What an exception inside a start is wrapped into.
pub(super) const INVOCATION: &str = "java.lang.reflect.InvocationTargetException";

pub(super) fn list(biz: &[Biz], style: Style) -> String {
    let entries: Vec<Value> = biz
        .iter()
        .map(|biz| {
            json!({
                "bizName": biz.name,
                "bizState": biz.state.word(style),
                "bizStateRecords": vec![json!({}); biz.records],
                "bizVersion": biz.version,
                "mainClass": format!("sample.{}", biz.name),
                "webContextPath": biz.context.as_deref().unwrap_or("/"),
            })
        })
        .collect();
    json!({"code": "SUCCESS", "data": entries}).to_string()
}

pub(super) fn installed(biz: &Biz, style: Style) -> String {
    let folder = format!("file:/tmp/sofa-ark/{}-{}-unpack/", biz.name, biz.version);
    let info = json!({
        "attributes": {},
        "bizName": biz.name,
        "bizState": biz.state.word(style),
        "bizStateRecords": vec![json!({}); biz.records],
        "bizUrl": folder,
        "bizVersion": biz.version,
        "classPath": [folder, format!("{folder}lib")],
        "declaredMode": true,
        "denyImportClasses": [],
        "identity": format!("{}:{}", biz.name, biz.version),
        "mainClass": format!("sample.{}", biz.name),
        "priority": 100,
        "webContextPath": biz.context.as_deref().unwrap_or("/"),
    });
    let message = format!("Install Biz: {}:{} success, cost: 7 ms, started at: 12:00:00,000", biz.name, biz.version);
    let data = json!({"bizInfos": [info], "code": "SUCCESS", "elapsedSpace": 9200, "message": message});
    json!({"code": "SUCCESS", "data": data}).to_string()
}

pub(super) fn repeated(name: &str, version: &str) -> String {
    let message = format!("Biz: {name}:{version} has been installed or registered.");
    let data = json!({"code": "REPEAT_BIZ", "elapsedSpace": 0, "message": message});
    json!({"code": "FAILED", "data": data, "message": "install biz not success!"}).to_string()
}

pub(super) fn done(message: String) -> String {
    json!({"code": "SUCCESS", "data": {"code": "SUCCESS", "message": message}}).to_string()
}

/// A refusal of `uninstallBiz` or `switchBiz` with an inner code.
pub(super) fn refused(verb: &str, code: &str, message: String) -> String {
    let outer = format!("{verb} biz not success!");
    json!({"code": "FAILED", "data": {"code": code, "message": message}, "message": outer}).to_string()
}

pub(super) fn conflict(command: Command, running: Command, name: &str, version: &str) -> String {
    let message = format!(
        "FAILED:{name}:{version} {} conflict, exist unfinished command({}) for this biz",
        command.word(),
        running.word()
    );
    json!({"code": "FAILED", "message": message}).to_string()
}

/// A command that threw. `outer` is what the message repeats; the root cause comes last in the trace.
pub(super) fn threw(outer: &str, causes: &[&str]) -> String {
    let package = "com.alipay.sofa.koupleless.arklet.core";
    let mut trace = format!("{package}.common.exception.ArkletRuntimeException: {outer}\n");
    for (depth, cause) in causes.iter().enumerate() {
        frames(&mut trace, depth);
        trace.push_str(&format!("Caused by: {cause}\n"));
    }
    frames(&mut trace, causes.len());
    json!({
        "code": "CMD_PROCESS_INTERNAL_ERROR",
        "errorStackTrace": trace,
        "message": format!("Internal Error: {outer}"),
    })
    .to_string()
}

/// A request that lacks something: thrown too, but with no cause below.
pub(super) fn invalid(message: &str) -> String {
    let class = "com.alipay.sofa.koupleless.arklet.core.common.exception.CommandValidationException";
    let mut trace = format!("{class}: {message}\n");
    frames(&mut trace, 0);
    json!({
        "code": "CMD_PROCESS_INTERNAL_ERROR",
        "errorStackTrace": trace,
        "message": format!("Internal Error: {message}"),
    })
    .to_string()
}

fn frames(trace: &mut String, depth: usize) {
    for line in 0..FRAMES {
        trace.push_str(&format!("\tat sample.stack.depth{depth}.Frame{line}.call(Frame{line}.java:{})\n", 40 + line));
    }
}

pub(super) fn unknown_command() -> String {
    json!({"code": "CMD_NOT_FOUND", "message": "please follow the doc"}).to_string()
}

pub(super) fn health(biz: &[Biz], config: &BaseConfig) -> String {
    let mut jvm = json!({
        "java version": "17.0.15",
        "loaded class count": 11424,
        "max heap memory(M)": 247.5,
        "max non heap memory(M)": -9.536_743_164_062_5e-7,
        "used heap memory(M)": 74.389_617_919_921_88,
    });
    if let Some(metaspace) = config.metaspace {
        jvm["java max metaspace"] = json!(metaspace.max);
        jvm["java committed metaspace"] = json!(metaspace.committed);
        jvm["java used metaspace"] = json!(metaspace.used);
    }
    let entry = |name: &str, version: &str, state: &str, context: &str| json!({"bizName": name, "bizState": state, "bizVersion": version, "webContextPath": context});
    let active = super::state::State::Activated.word(config.style);
    let base = entry("sample-base", "1.0.0", active, "/");
    let mut list = vec![base.clone()];
    for biz in biz {
        let context = biz.context.as_deref().unwrap_or("/");
        list.push(entry(&biz.name, &biz.version, biz.state.word(config.style), context));
    }
    let data =
        json!({"bizListInfo": list, "cpu": {"count": 2}, "jvm": jvm, "masterBizInfo": base, "pluginListInfo": []});
    json!({"code": "SUCCESS", "data": {"healthData": data}}).to_string()
}
