// SPDX-License-Identifier: MIT
// A user's program with an event loop of Asio; which one, the linked target says.
#include <cadre/asio.hpp>
#include <cadre/cadre.hpp>

#ifdef CADRE_BOOST_ASIO
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
namespace asio = boost::asio;
#else
#include <asio/bind_executor.hpp>
#include <asio/io_context.hpp>
#endif

#include <exception>

int main() {
  asio::io_context loop;
  cadre::thread_pool_executor pool{1};
  int answer = 0;
  cadre::async_submit(
      pool, [] { return 42; },
      asio::bind_executor(loop, [&](std::exception_ptr, int value) { answer = value; }));
  loop.run();
  return answer == 42 ? 0 : 1;
}
