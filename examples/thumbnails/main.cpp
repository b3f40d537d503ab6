// SPDX-License-Identifier: MIT
// An HTTP service for images that strangers send: each is decoded in a worker process of its own, in
// a sandbox. A file that crashes, hangs or takes over its decoder costs the request that brought it.
//
//     thumbnails [PORT [WORKERS [MILLISECONDS]]]     by default 0 2 5000: a free port, which is
//                                                    printed; two workers; the limit of one call
//     curl -H 'Content-Type: image/png' --data-binary @photo.png -o small.png
//         'http://127.0.0.1:PORT/thumbnail?size=200'          (one command; the type is needed)
//     curl http://127.0.0.1:PORT/stats
//
//     200  the thumbnail, as PNG             500  the worker died, or answered nonsense
//     400  the size or the image is wrong    503  too much to do; come again
//     413  the body is too large             504  the call took too long and was ended
#include "image.hpp"

#include <cadre/cadre.hpp>

#include <httplib.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

using namespace std::chrono_literals;

namespace {

constexpr std::size_t max_upload = 8 << 20;

struct bad_request : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int parse_number(std::string_view text, std::string_view name, int least, int most) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most) {
    throw bad_request{std::string{name} + " is \"" + std::string{text} +
                      "\" and must be a number from " + std::to_string(least) + " to " +
                      std::to_string(most)};
  }
  return number;
}

struct settings {
  int port = 0;
  int workers = 2;
  std::chrono::milliseconds time_limit = 5s;
};

settings parse_arguments(int argc, char** argv) {
  settings set;
  if (argc > 4) throw bad_request{"usage: thumbnails [PORT [WORKERS [MILLISECONDS]]]"};
  if (argc > 1) set.port = parse_number(argv[1], "PORT", 0, 65535);
  if (argc > 2) set.workers = parse_number(argv[2], "WORKERS", 1, 256);
  if (argc > 3) {
    set.time_limit = std::chrono::milliseconds{parse_number(argv[3], "MILLISECONDS", 1, 600'000)};
  }
  return set;
}

cadre::process_pool_options pool_options(const settings& set) {
  cadre::process_pool_options options;
  options.max_workers = set.workers;
  options.max_calls_per_worker = 1;  // no image meets another one's data
  options.max_pending = static_cast<std::size_t>(4 * set.workers);
  options.when_full = cadre::when_full::reject;  // a client would rather know than wait
  options.max_message = 2 * max_upload;
  options.worker.sandbox = cadre::sandbox::strict;
  options.worker.open_files = 32;
  options.worker.private_memory = 256 << 20;
  return options;
}

std::string thumbnail(cadre::process_pool_executor& pool, const cadre::submit_options& limits,
                      const httplib::Request& asked) {
  const int size =
      parse_number(asked.get_param_value("size"), "size", 1, int{thumbnails::max_size});
  const auto side = static_cast<std::uint32_t>(size);
  std::string png = pool.submit(limits, &thumbnails::make_thumbnail, asked.body, side).get();
  // It comes from a process that a stranger may rule.
  if (!thumbnails::is_thumbnail(png, side)) {
    throw std::runtime_error{"the worker's answer is no thumbnail"};
  }
  return png;
}

void answer(cadre::process_pool_executor& pool, const cadre::submit_options& limits,
            const httplib::Request& asked, httplib::Response& reply) {
  const auto refuse = [&reply](int status, const std::string& why) {
    reply.status = status;
    reply.set_content(why + '\n', "text/plain");
  };
  try {
    reply.set_content(thumbnail(pool, limits, asked), "image/png");
  } catch (const bad_request& e) {
    refuse(400, e.what());
  } catch (const thumbnails::bad_image& e) {
    refuse(400, e.what());
  } catch (const cadre::queue_full&) {
    reply.set_header("Retry-After", "1");
    refuse(503, "too many images are waiting; send this one again in a second");
  } catch (const cadre::timeout_error& e) {
    std::clog << e.what() << '\n';
    refuse(504, "the image took too long to decode, and was given up; send a simpler one");
  } catch (const cadre::worker_died& e) {
    std::clog << e.what() << '\n';
    refuse(
        500,
        "the process that decoded the image died; other images are not affected; do not send this "
        "one again");
  } catch (const std::exception& e) {
    std::clog << "thumbnails: a request failed: " << e.what() << '\n';
    refuse(500, "the image could not be processed; do not send this one again");
  }
}

std::string stats_text(const cadre::process_pool_executor& pool) {
  const cadre::executor_stats s = pool.stats();
  std::ostringstream text;
  text << "{\"submitted\": " << s.submitted << ", \"pending\": " << s.pending
       << ", \"running\": " << s.running << ", \"finished\": " << s.finished
       << ", \"failed\": " << s.failed << ", \"workers_started\": " << s.workers_started
       << ", \"worker_deaths\": " << s.worker_deaths << ", \"timed_out\": " << s.timed_out
       << ", \"workers\": [";
  const char* separator = "";
  for (const int pid : pool.worker_pids()) text << std::exchange(separator, ", ") << pid;
  text << "]}\n";
  return text.str();
}

/// Ends the server when SIGTERM or SIGINT comes. Made before there is any other thread: all have its
/// signal mask.
class end_signals {
 public:
  explicit end_signals(httplib::Server& server) {
    sigset_t ends;
    sigemptyset(&ends);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&ends, signal);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    watcher_ = std::jthread{[&server, ends](const std::stop_token& over) {
      int signal = 0;
      sigwait(&ends, &signal);
      // stop() is lost on a server that does not listen yet.
      while (!over.stop_requested() && !server.is_running()) std::this_thread::sleep_for(1ms);
      server.stop();
    }};
  }
  ~end_signals() {
    watcher_.request_stop();
    pthread_kill(watcher_.native_handle(), SIGTERM);  // if none has come
  }
  end_signals(const end_signals&) = delete;
  end_signals& operator=(const end_signals&) = delete;

 private:
  std::jthread watcher_;
};

int run(const settings& set) {
  httplib::Server server;
  const end_signals signals{server};
  cadre::process_pool_options options = pool_options(set);
  const std::size_t threads = *options.max_pending + 32;  // with fewer, nobody would be refused
  cadre::process_pool_executor pool{std::move(options)};
  for (const auto& gap : pool.submit(&cadre::missing_protections).get()) std::clog << gap << '\n';

  const cadre::submit_options limits{.name = "thumbnail", .timeout = set.time_limit};
  server.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };
  int listener = -1;
  server.set_socket_options([&listener](int socket) {
    listener = socket;
    const int yes = 1;  // without SO_REUSEPORT, by which a second service can take the same port
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_payload_max_length(max_upload);
  server.set_keep_alive_timeout(1);  // an end waits for connections that are idle
  server.set_keep_alive_max_count(100);
  server.Post("/thumbnail", [&](const httplib::Request& asked, httplib::Response& reply) {
    answer(pool, limits, asked, reply);
  });
  server.Get("/stats", [&](const httplib::Request&, httplib::Response& reply) {
    reply.set_content(stats_text(pool), "application/json");
  });

  const std::string host = "127.0.0.1";
  const int port = set.port == 0                         ? server.bind_to_any_port(host)
                   : server.bind_to_port(host, set.port) ? set.port
                                                         : -1;
  if (port < 0) {
    throw std::runtime_error{"cannot listen on port " + std::to_string(set.port) + " of " + host +
                             ", which may be taken; name another one, or 0 for a free one"};
  }
  ::listen(listener, SOMAXCONN);  // until here 5 clients can wait, and more are turned away
  std::cout << "http://" << host << ':' << port << std::endl;
  server.listen_after_bind();  // until it is stopped and the last request is answered
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse_arguments(argc, argv));
  } catch (const std::exception& e) {
    std::cerr << "thumbnails: " << e.what() << '\n';
    return 2;
  }
}
