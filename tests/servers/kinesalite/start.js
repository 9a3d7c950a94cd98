// kinesalite on the loopback only; its own command line listens on every interface.
const [moduleFolder, port, folder] = process.argv.slice(2)
const options = { createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 10000 }
if (folder) options.path = folder
const server = require(moduleFolder)(options)
server.keepAliveTimeout = 600000 // a pooled connection that the server closes looks like an outage to a client
server.listen(Number(port), '127.0.0.1')
// It throws where a client that is killed in the middle of a request leaves that unfinished; a service goes on.
process.on('uncaughtException', (error) => {
  if (error.code !== 'ECONNRESET') {
    console.error(error)
    process.exit(1)
  }
})
