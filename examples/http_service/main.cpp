// SPDX-License-Identifier: MIT
// An HTTP service on one thread of Boost.Asio: what takes long runs on a thread pool, what may crash
// in worker processes. The event loop is never blocked, and a crash is the answer to one request.
//
//     http_service            prints the port that it listens on, on the loopback interface
//     GET /primes/N           how many primes there are below N
//     GET /render/TEXT        TEXT in capitals; "crash" kills the process that renders it
#include <cadre/asio.hpp>
#include <cadre/cadre.hpp>

#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include <cctype>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stop_token>
#include <string>
#include <utility>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using request = http::request<http::empty_body>;
using response = http::response<http::string_body>;

struct executors {
  cadre::thread_pool_executor& threads;
  cadre::process_pool_executor& processes;
};

int count_primes(int limit) {
  int found = 0;
  for (int n = 2; n < limit; ++n) {
    bool prime = true;
    for (int d = 2; d <= n / d && prime; ++d) prime = n % d != 0;
    found += prime;
  }
  return found;
}

std::string render(std::string text) {
  if (text == "crash") std::abort();  // as a library with a bug would
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// [handler]
asio::awaitable<response> answer(const executors& run, std::string target) {
  response reply{http::status::not_found, 11};
  try {
    if (target.starts_with("/primes/")) {
      const int limit = std::stoi(target.substr(8));
      auto call = [limit] { return count_primes(limit); };  // named: see the guide
      const int found = co_await cadre::async_submit(run.threads, call, asio::use_awaitable);
      reply.body() = std::to_string(found);
      reply.result(http::status::ok);
    } else if (target.starts_with("/render/")) {
      auto call = cadre::bind(&render, target.substr(8));
      reply.body() = co_await cadre::async_submit(run.processes, call, asio::use_awaitable);
      reply.result(http::status::ok);
    }
  } catch (const cadre::worker_died& e) {
    reply.result(http::status::bad_gateway);
    reply.body() = "killed by signal " + std::to_string(e.signal());
  } catch (const std::exception& e) {
    reply.result(http::status::bad_request);
    reply.body() = e.what();
  }
  co_return reply;
}
// [/handler]

asio::awaitable<void> serve(tcp::socket socket, const executors& run) {
  boost::beast::flat_buffer buffer;
  try {
    for (bool open = true; open;) {
      request asked;
      co_await http::async_read(socket, buffer, asked, asio::use_awaitable);
      response reply = co_await answer(run, std::string{asked.target()});
      reply.keep_alive(asked.keep_alive());
      reply.prepare_payload();
      open = reply.keep_alive();
      co_await http::async_write(socket, reply, asio::use_awaitable);
    }
  } catch (const boost::system::system_error&) {  // the client has gone
  }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, const executors& run) {
  for (;;) {
    tcp::socket socket{acceptor.get_executor()};
    boost::system::error_code failed;
    co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, failed));
    if (failed == asio::error::operation_aborted) co_return;
    if (failed) continue;  // that client's; the next one may come in
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), run), asio::detached);
  }
}

int main() {
  asio::io_context loop{1};  // before the executors: it must outlive their calls
  cadre::thread_pool_executor threads;
  cadre::process_pool_executor processes;
  const executors run{threads, processes};
  tcp::acceptor acceptor{loop, {asio::ip::address_v4::loopback(), 0}};
  std::cout << acceptor.local_endpoint().port() << std::endl;

  asio::signal_set signals{loop, SIGINT, SIGTERM};
  signals.async_wait([&](auto, int) { loop.stop(); });
  asio::co_spawn(loop, accept(acceptor, run), asio::detached);
  loop.run();
  return 0;
}
