// SPDX-License-Identifier: MIT
// this_worker: which worker runs the calling code.
//
//     thread_local scratch& mine = scratches.at(cadre::this_worker::index().value_or(0));
//
// Threads    Asks about the calling thread: a worker of a thread pool, or that thread of a worker
//            process which runs the calls.
// Cost       A thread_local variable.
#pragma once

#include <cadre/config.hpp>

#include <optional>
#include <string_view>

namespace cadre::this_worker {

/// The number of the worker in its pool, from 0; no two that live at the same time have the same.
/// None if the calling thread is no worker. A thread pool whose workers are blocked may number more
/// of them than its max_workers.
CADRE_API std::optional<unsigned> index() noexcept;

/// The thread_name_prefix of its thread pool, or the name of its process pool; empty if the calling
/// thread is no worker. Valid as long as the worker lives.
CADRE_API std::string_view pool() noexcept;

}  // namespace cadre::this_worker
