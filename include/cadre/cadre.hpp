// SPDX-License-Identifier: MIT
// All of cadre's core: futures, and the executors of threads and of worker processes.
//
//     #include <cadre/cadre.hpp>
#pragma once

#include <cadre/bind.hpp>              // IWYU pragma: export
#include <cadre/codec.hpp>             // IWYU pragma: export
#include <cadre/completion_queue.hpp>  // IWYU pragma: export
#include <cadre/config.hpp>            // IWYU pragma: export
#include <cadre/deadline_scope.hpp>    // IWYU pragma: export
#include <cadre/encoder.hpp>           // IWYU pragma: export
#include <cadre/errors.hpp>            // IWYU pragma: export
#include <cadre/executor.hpp>          // IWYU pragma: export
#include <cadre/for_each.hpp>          // IWYU pragma: export
#include <cadre/future.hpp>            // IWYU pragma: export
#include <cadre/hooks.hpp>             // IWYU pragma: export
#include <cadre/init.hpp>              // IWYU pragma: export
#include <cadre/inline_executor.hpp>   // IWYU pragma: export
#include <cadre/lifo_queue.hpp>        // IWYU pragma: export
#include <cadre/local_executor.hpp>    // IWYU pragma: export
#include <cadre/make_executor.hpp>     // IWYU pragma: export
#include <cadre/manual_executor.hpp>   // IWYU pragma: export
#include <cadre/map.hpp>               // IWYU pragma: export
#include <cadre/outcome.hpp>           // IWYU pragma: export
#include <cadre/priority_queue.hpp>    // IWYU pragma: export
#include <cadre/process_pool_executor.hpp>
#include <cadre/promise.hpp>               // IWYU pragma: export
#include <cadre/queue.hpp>                 // IWYU pragma: export
#include <cadre/register_exception.hpp>    // IWYU pragma: export
#include <cadre/retry.hpp>                 // IWYU pragma: export
#include <cadre/shared_span.hpp>           // IWYU pragma: export
#include <cadre/stats.hpp>                 // IWYU pragma: export
#include <cadre/submit_options.hpp>        // IWYU pragma: export
#include <cadre/task_group.hpp>            // IWYU pragma: export
#include <cadre/this_worker.hpp>           // IWYU pragma: export
#include <cadre/thread_pool_executor.hpp>  // IWYU pragma: export
#include <cadre/timer.hpp>                 // IWYU pragma: export
#include <cadre/wait.hpp>                  // IWYU pragma: export
