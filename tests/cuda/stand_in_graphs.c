/* The stand-in's graphs: nodes one after the other, edges between kernels programmatic or not, and what is told to a graph that is ready. */
#include "tests/cuda/stand_in_parts.h"

#include <stdlib.h>

enum { NODE_BYTES = 4096 };

static struct {
    int graphs;     /* executable ones that there are */
    uint64_t edges; /* of the one made last */
} made;

int fv_stand_in_graphs(void) { return made.graphs; }
uint64_t fv_stand_in_edges(void) { return made.edges; }

struct graph_node {
    cudaGraph_t graph;
    int number;
    work *as;
};

struct graph {
    cudaGraphNode_t *nodes;
    int count;
};

/* Copies of the nodes; of the graph it knows which they are. */
struct graph_exec {
    cudaGraph_t graph;
    work **nodes;
    int count;
};

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned flags) {
    if (flags) return fv_stand_in_told(cudaErrorInvalidValue);
    *graph = calloc(1, sizeof **graph);
    return fv_stand_in_answer("cudaGraphCreate");
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    for (int i = 0; i < graph->count; i++) free(graph->nodes[i]->as), free(graph->nodes[i]);
    free(graph->nodes), free(graph);
    return fv_stand_in_told(cudaSuccess);
}

static void add_node(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count, work *w) {
    if (count > 1 || (count == 1 && before[0]->graph != graph)) fv_stand_in_stop("a node after others than one of its graph");
    w->after = count ? before[0]->number : -1;
    *node = malloc(sizeof **node);
    **node = (struct graph_node){graph, graph->count, w};
    graph->nodes = realloc(graph->nodes, (size_t)(graph->count + 1) * sizeof(cudaGraphNode_t));
    graph->nodes[graph->count++] = *node;
}

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count, const struct cudaKernelNodeParams *p) {
    add_node(node, graph, before, count, fv_stand_in_kernel_work(p->func, p->gridDim, p->blockDim, p->sharedMemBytes, p->kernelParams));
    return fv_stand_in_answer("cudaGraphAddKernelNode");
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t *from, const cudaGraphNode_t *to, const cudaGraphEdgeData *edges, size_t count) {
    bool kernels = count == 1 && from[0]->as->kernel && to[0]->as->kernel && from[0]->graph == graph && to[0]->graph == graph;
    if (!kernels || to[0]->as->after >= 0 || edges->from_port != cudaGraphKernelNodePortProgrammatic || edges->to_port || edges->type != cudaGraphDependencyTypeProgrammatic)
        fv_stand_in_stop("an edge that a card would refuse, or that these graphs don't have");
    to[0]->as->after = from[0]->number;
    to[0]->as->early = true;
    return fv_stand_in_answer("cudaGraphAddDependencies");
}

static work *zeros_of(const struct cudaMemsetParams *p) {
    if (!fv_stand_in_owns(p->dst) || p->value != 0 || p->elementSize != 1 || p->height != 1) fv_stand_in_stop("a memset that a card would refuse");
    return fv_stand_in_zeros_work(p->dst, p->width);
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count, const struct cudaMemsetParams *p) {
    add_node(node, graph, before, count, zeros_of(p));
    return fv_stand_in_answer("cudaGraphAddMemsetNode");
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    cudaError_t status = fv_stand_in_answer("cudaGraphInstantiate");
    size_t bytes = (size_t)graph->count * NODE_BYTES;
    if (status != cudaSuccess || flags) return status;
    if (!fv_stand_in_takes(bytes)) return fv_stand_in_told(cudaErrorMemoryAllocation);
    made.graphs++;
    *exec = malloc(sizeof **exec);
    **exec = (struct graph_exec){graph, calloc((size_t)graph->count + 1, sizeof(work *)), graph->count};
    made.edges = 0;
    for (int i = 0; i < graph->count; i++) {
        (*exec)->nodes[i] = fv_stand_in_copy_of(graph->nodes[i]->as);
        made.edges |= i < 64 ? (uint64_t)graph->nodes[i]->as->early << i : 0;
    }
    return status;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    if (!fv_stand_in_idle()) fv_stand_in_stop("a graph goes that may be running");
    fv_stand_in_gives((size_t)exec->count * NODE_BYTES);
    made.graphs--;
    for (int i = 0; i < exec->count; i++) free(exec->nodes[i]);
    free(exec->nodes), free(exec);
    return fv_stand_in_told(cudaSuccess);
}

/* Only what is launched from now on has it. */
static cudaError_t change_node(cudaGraphExec_t exec, cudaGraphNode_t node, work *w, const char *call) {
    work *was = exec->nodes[node->number];
    if (node->graph != exec->graph || was->kernel != w->kernel) fv_stand_in_stop("another node's parameters");
    w->after = was->after;
    w->early = was->early;
    exec->nodes[node->number] = w;
    free(was);
    return fv_stand_in_answer(call);
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const struct cudaKernelNodeParams *p) {
    return change_node(exec, node, fv_stand_in_kernel_work(p->func, p->gridDim, p->blockDim, p->sharedMemBytes, p->kernelParams), "cudaGraphExecKernelNodeSetParams");
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const struct cudaMemsetParams *p) {
    return change_node(exec, node, zeros_of(p), "cudaGraphExecMemsetNodeSetParams");
}

/* Of nodes that may run, the last goes first: only what a node waits for is before it. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    (void)stream;
    cudaError_t status = fv_stand_in_answer("cudaGraphLaunch");
    bool *done = calloc((size_t)exec->count + 1, sizeof *done);
    for (int left = status == cudaSuccess ? exec->count : 0; left; left--) {
        int i = exec->count - 1;
        while (done[i] || (exec->nodes[i]->after >= 0 && !done[exec->nodes[i]->after])) i--;
        done[i] = true;
        fv_stand_in_add(fv_stand_in_copy_of(exec->nodes[i]));
    }
    free(done);
    return status;
}
